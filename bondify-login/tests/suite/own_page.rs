//! The page of one's own that the guide shows, word for word.

use askama::Template;
use bondify_login::{LoginBuilder, State, View};

#[derive(Template)]
#[template(
    ext = "html",
    source = r#"<!doctype html>
<html lang="{{ view.texts.language }}" dir="{{ view.texts.direction }}">
<meta charset="utf-8"><title>{{ view.texts.start }}</title>
<main{% if let State::Waiting { .. } = view.state %} data-events="{{ view.events_url() }}"{% endif %}>
{% match view.state %}
{% when State::Waiting { deeplink, .. } %}
  <p><a href="{{ deeplink }}" target="_blank" rel="noopener">{{ view.texts.open }}</a></p>
  {{ view.qr_code()|safe }}
  <p role="status" data-lost="{{ view.texts.lost }}">{{ view.texts.waiting }}</p>
  <form id="finish" method="post" action="{{ view.finish_url() }}"><input type="hidden" name="proof"></form>
{% when State::Confirmed { proof, .. } %}
  <form id="finish" method="post" action="{{ view.finish_url() }}">
    <input type="hidden" name="proof" value="{{ proof }}"><button>{{ view.texts.go_on }}</button>
  </form>
{% when _ %}
  <p>{{ view.state.name() }}</p>
  <form method="post" action="{{ view.page_url }}">
    <input type="hidden" name="return_to" value="{{ view.return_to }}"><button>{{ view.texts.begin }}</button>
  </form>
{% endmatch %}
<p><a href="{{ view.back_to }}">{{ view.texts.back }}</a></p>
</main>
<div id="without-script" hidden>
  <script nonce="{{ view.nonce }}">{{ view.script()|safe }}</script>
  {% if let State::Waiting { .. } = view.state %}<meta http-equiv="refresh" content="5">{% endif %}
</div>"#
)]
struct Page<'a> {
    view: &'a View<'a>,
}

pub(crate) fn with_my_page(login: LoginBuilder) -> LoginBuilder {
    login.page(|view| Page { view }.render().unwrap_or_default())
}
