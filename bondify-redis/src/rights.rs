use std::sync::LazyLock;

use redis::{
    ErrorKind, RedisError, RedisResult,
    ServerErrorKind::{NoPerm, ResponseError},
    aio::ConnectionLike,
};

use crate::script::Script;

/// Returns the first command that does not exist or that the user may not run on the key, or an empty
/// string. It also runs on a server that refuses writes. On engines without `acl_check_cmd` it returns an empty string.
static MISSING: LazyLock<Script> = LazyLock::new(|| {
    let code = "#!lua flags=no-writes,allow-oom\n\
        if not redis.acl_check_cmd then return '' end\n\
        for _, command in ipairs({\n\
            {'SET', KEYS[1], '', 'NX', 'GET', 'PX', '1'}, {'GET', KEYS[1]}, {'DEL', KEYS[1]},\n\
            {'PEXPIRE', KEYS[1], '1'}, {'EVAL', '', '1', KEYS[1]}, {'EVALSHA', '', '1', KEYS[1]}\n\
        }) do\n\
            local exists, allowed = pcall(redis.acl_check_cmd, unpack(command))\n\
            if not (exists and allowed) then return command[1] end\n\
        end\n\
        return ''";
    Script::new(code.to_owned())
});

/// Returns an error if Redis would refuse a call of the store on `key`. An event that can be claimed
/// and not completed would be handled again at each retry.
pub(crate) async fn check(
    connection: &mut impl ConnectionLike,
    key: &str,
    prefix: &str,
) -> RedisResult<()> {
    let missing: String = match MISSING.call(connection, key, &[]).await {
        Ok(missing) => missing,
        Err(error) => return Err(explained(error, prefix)),
    };
    if missing.is_empty() {
        return Ok(());
    }
    Err(lacking(&format!("{missing} is denied or was renamed"), prefix))
}

/// Adds advice to the error of a refused script, in which the server refuses `EVAL` or `EVALSHA`.
fn explained(error: RedisError, prefix: &str) -> RedisError {
    let told = error.detail().unwrap_or_default();
    match error.kind() {
        ErrorKind::Server(NoPerm) => lacking(told, prefix),
        ErrorKind::Server(ResponseError) if told.starts_with("unknown command") => {
            // The rest of the text contains the key.
            let (told, _arguments) = told.split_once(", with args").unwrap_or((told, ""));
            lacking(told, prefix)
        }
        _ => error,
    }
}

fn lacking(reason: &str, prefix: &str) -> RedisError {
    let detail = format!(
        "{reason}. Allow SET, GET, DEL, PEXPIRE, EVAL and EVALSHA on the keys {prefix}*, for \
         example with ACL SETUSER <user> ~{prefix}* +set +get +del +pexpire +eval +evalsha"
    );
    (ErrorKind::Server(NoPerm), "Redis refuses a command that the store needs", detail).into()
}
