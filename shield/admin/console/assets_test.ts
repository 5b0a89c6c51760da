/** The console's files: all are served, and none uses what its content policy forbids. */
import assert from "node:assert/strict";
import { ASSETS, consoleAsset, REPLAY_PATH } from "./capability.ts";

const FOLDER = new URL(".", import.meta.url);

/** The hand-written files. */
function bodies(): [path: string, body: string][] {
  return [...ASSETS].map(([path, { body }]) => [path, body]);
}

Deno.test("every file of the folder that a browser needs is served, with its type", async () => {
  const types: Record<string, string> = {
    html: "text/html; charset=utf-8",
    css: "text/css; charset=utf-8",
    js: "text/javascript; charset=utf-8",
  };
  const served: string[] = [];
  for await (const { name } of Deno.readDir(FOLDER)) {
    const type = types[name.split(".").at(-1)!];
    if (type === undefined) continue;
    const path = name === "index.html" ? "/console/" : `/console/${name}`;
    served.push(path);
    const asset = await consoleAsset(path);
    assert.equal(asset?.body, await Deno.readTextFile(new URL(name, FOLDER)), path);
    assert.equal(asset?.content_type, type);
  }
  assert.deepEqual(served.sort(), [...ASSETS.keys()].sort());
});

Deno.test("a path that is not a file of the console is undefined", async () => {
  for (const path of ["/console", "/console/../main.ts", "/console/x.js", "/", "__proto__"]) {
    assert.equal(await consoleAsset(path), undefined, path);
  }
});

Deno.test("the console's worker may run WebAssembly and make no requests; its pages may not run WebAssembly", async () => {
  const thread = (await consoleAsset(REPLAY_PATH))?.policy ?? "";
  assert.match(thread, /^default-src 'none'; script-src 'wasm-unsafe-eval'; /);
  assert.doesNotMatch(thread, /connect-src|worker-src|'self'|'unsafe-eval'/);
  for (const [path, { policy }] of ASSETS) {
    assert.match(policy, /script-src 'self'.*frame-ancestors 'none'/, path);
    assert.doesNotMatch(policy, /wasm|unsafe/, path);
  }
});

Deno.test("modules import only served files", () => {
  for (const [path, body] of bodies()) {
    for (const [, name] of body.matchAll(/from "\.\/([^"]+)"/g)) {
      assert.ok(ASSETS.has(`/console/${name}`), `${path} imports ${name}`);
    }
    assert.doesNotMatch(body, /from "(?!\.\/)|import\("/, `${path} imports something else`);
  }
});

Deno.test("nothing parses HTML, evaluates text or leaves the origin", () => {
  const forbidden =
    /innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function|setAttribute\("(style|on)|createContextualFragment|srcdoc/;
  for (const [path, body] of bodies()) {
    assert.doesNotMatch(body, forbidden, path);
    const without_svg = body.replaceAll(/http:\/\/www\.w3\.org\/\d+\/svg/g, "");
    assert.doesNotMatch(without_svg, /https?:\/\//, path);
  }
});

Deno.test("the replay worker is built from the sources, imports nothing and stores nothing", async () => {
  const thread = await consoleAsset(REPLAY_PATH);
  assert.equal(thread?.content_type, "text/javascript; charset=utf-8");
  const { body } = thread;
  assert.match(body, /WebAssembly\.Module/);
  const outside = /(^|[;{}])(import|export)\b|\bimport\(|importScripts|\bfetch\(|WebSocket\(/m;
  assert.doesNotMatch(body, outside);
  assert.doesNotMatch(body, /localStorage|sessionStorage|indexedDB|innerHTML/);
});

Deno.test("the page has no inline script, style or handler", () => {
  const page = ASSETS.get("/console/")!.body;
  assert.doesNotMatch(page, /<style|\sstyle=|\son[a-z]+=/i);
  for (const [tag] of page.matchAll(/<script[^>]*>/g)) assert.match(tag, /src="\/console\//);
  assert.match(page, /<html lang="en">/);
});

Deno.test("the token is kept in sessionStorage only", () => {
  for (const [path, body] of bodies()) {
    const kept = body.match(/(localStorage|sessionStorage|document\.cookie)[^\n]*/g) ?? [];
    for (const line of kept) {
      const is_token = /KEY\)|KEY, token/.test(line) && line.startsWith("sessionStorage");
      const is_theme = /theme/i.test(line) && line.startsWith("localStorage");
      const is_comment = line.startsWith("sessionStorage, sent in a header");
      assert.ok(is_token || is_theme || is_comment, `${path}: ${line}`);
    }
  }
});
