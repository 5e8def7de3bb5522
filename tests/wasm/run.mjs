// Runs the checks: node run.mjs wasm-tests.wasm
import { readFile } from "node:fs/promises";

const { instance } = await WebAssembly.instantiate(await readFile(process.argv[2]));
instance.exports.main(0, 0);
console.log("bondify-core passes its checks on wasm32-unknown-unknown");
