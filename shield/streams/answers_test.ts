/** Caching of streams follows the room's class, and an empty page is never cached. */
import assert from "node:assert/strict";
import { cacheHeaders, etagOf, isNamed } from "./answers.ts";

Deno.test("answers: caches keep pages with messages as the class allows", () => {
  const kept = (http_cache: "none" | "private" | "public", has_messages = true) =>
    cacheHeaders({ http_cache }, has_messages);
  assert.deepEqual(kept("none"), { "cache-control": "private, no-cache", vary: "authorization" });
  assert.match(kept("private")["cache-control"]!, /^private, max-age=60, /);
  assert.equal(kept("private")["vary"], "authorization");
  assert.match(kept("public")["cache-control"]!, /^public, max-age=60, /);
  assert.equal("vary" in kept("public"), false);
  assert.deepEqual(kept("public", false), kept("none"));
});

Deno.test("answers: an entity tag differs by stream, offsets and closing", () => {
  const tags = [
    etagOf({ id: "a" }, "-1", "1", false),
    etagOf({ id: "b" }, "-1", "1", false),
    etagOf({ id: "a" }, "1", "1", false),
    etagOf({ id: "a" }, "-1", "2", false),
    etagOf({ id: "a" }, "-1", "1", true),
    etagOf({ id: "a" }, "-1", "1", false, [3, 4, 5]),
    etagOf({ id: "a" }, "-1", "1", false, [3, 5]),
    etagOf({ id: "a" }, "-1", "1", false, [4, 5]),
  ];
  assert.equal(new Set(tags).size, tags.length);
});

Deno.test("answers: a tag is found in a list, and also as a weak one", () => {
  const tag = etagOf({ id: "a" }, "-1", "1", false);
  for (const named of [tag, `W/${tag}`, `"x", W/"y" ,W/${tag}`, "*"]) {
    assert.ok(isNamed(tag, named));
  }
  for (const other of [null, "", '"x"', `x${tag}`, tag.slice(1)]) assert.ok(!isNamed(tag, other));
});
