/** Which links of a built site count as dead. */
import assert from "node:assert/strict";
import { deadLinks } from "./site_links.ts";

function check(html: string, base = "/"): string[] {
  const pages = new Map([["index.html", html], ["errors.html", '<h2 id="codes">']]);
  const files = new Set([...pages.keys(), "assets/a.js"]);
  return deadLinks(pages, files, base).map(({ path, message }) => `${path}: ${message}`);
}

Deno.test("pages, anchors, assets and other sites are fine", () => {
  assert.deepEqual(
    check(
      '<script src="/assets/a.js"></script><a href="/errors.html#codes">a</a> <a href="errors">b</a> ' +
        '<a href="/">c</a> <a href="https://nats.io/no">d</a> <a href="mailto:a@b.example">e</a>',
    ),
    [],
  );
});

Deno.test("a dead link is told once for each page", () => {
  assert.deepEqual(check('<a href="/lost.html">a</a><a href="/lost.html">b</a><img src="b.png">'), [
    'index.html: "/lost.html" leads nowhere',
    'index.html: "b.png" leads nowhere',
  ]);
  assert.deepEqual(check('<a href="/errors.html#code">'), [
    'index.html: "/errors.html#code" names an anchor that errors.html does not have',
  ]);
});

Deno.test("below a base path a link from the root is dead", () => {
  assert.deepEqual(check('<a href="/arqonbus/errors.html">', "/arqonbus/"), []);
  assert.deepEqual(check('<a href="/errors.html">', "/arqonbus/"), [
    'index.html: "/errors.html" leaves /arqonbus/',
  ]);
});
