/** Messages of changes: sizes, parts and content. */
import assert from "node:assert/strict";
import { tree } from "../state/room_state.ts";
import { keyOf, pageOf, shownBy, shownChanges, valueJson } from "./shown.ts";
import { unchangedMessage, valueMessages } from "../room/value_changes.ts";

const utf8 = (text: string) => new TextEncoder().encode(text);
const shown = shownBy(["public/"]);
const read = ({ data }: { data: Uint8Array }) => JSON.parse(new TextDecoder().decode(data));

Deno.test("entries are merged into one message up to a size limit, and one entry is split if necessary", () => {
  const small = { offset: 5, changes: [["public/a", utf8("1")], ["public/b", null]] as const };
  const big = (offset: number, count: number) => ({
    offset,
    changes: Array.from(
      { length: count },
      (_, at) => [`public/${at}`, new Uint8Array(60_000)] as const,
    ),
  });
  assert.deepEqual(valueMessages(shown.scope, 3, [{ offset: 4, changes: [] }]), []);
  const [one, ...none] = valueMessages(shown.scope, 3, [
    { offset: 3, changes: small.changes },
    small,
  ]);
  assert.deepEqual(none, [], "what is published already is left out");
  assert.deepEqual(read(one!), {
    scope: shown.scope,
    after: 3,
    to: 5,
    changes: [[5, "public/a", "1"], [5, "public/b", null]],
  });
  const many = valueMessages(shown.scope, 3, [small, big(6, 7), big(8, 1)]);
  const about = many.map((message) => {
    const { after, to, part, more } = read(message);
    return [after, to, part, more, message.published_to];
  });
  assert.deepEqual(about, [
    [3, 6, 1, true, 3],
    [3, 6, 2, true, 3],
    [3, 6, 3, undefined, 6],
    [6, 8, undefined, undefined, 8],
  ]);
  const changes = many.flatMap((message) => read(message).changes);
  assert.equal(changes.length, 10);
  assert.ok(many.every(({ data }) => data.length < 400_000));
  assert.deepEqual(read(unchangedMessage(shown.scope, 8, 9)), {
    scope: shown.scope,
    after: 8,
    to: 9,
    changes: [],
  });
});

Deno.test("a value is text, or bytes if it is not text or bytes are shorter", () => {
  assert.equal(valueJson(utf8(`é"`)), `"é\\""`);
  assert.equal(valueJson(new Uint8Array([255])), `{"base64":"/w=="}`);
  assert.equal(valueJson(new Uint8Array(3)), `{"base64":"AAAA"}`);
  assert.equal(valueJson(null), "null");
});

Deno.test("a key that is not text has no subscriber, and a page ends when it is full", () => {
  const all = shownBy(["é", "p", "pq"]);
  assert.equal(all.prefixes.length, 2, "one within another is not looked at twice");
  assert.notEqual(all.scope, shownBy(["p"]).scope);
  const changes = new Map([["p\xff", utf8("1")], [keyOf("é1"), utf8("2")], ["q", null]]);
  assert.deepEqual(shownChanges(changes, all.prefixes), [["é1", utf8("2")]]);
  assert.deepEqual(shownChanges(changes, []), []);
  const values = tree<string, Uint8Array>();
  for (const key of ["a", "p1", "p2", "p\xff", keyOf("é1")]) values.set(key, utf8("12345"));
  const page = (after: string, max_bytes: number) => {
    const request = { prefix: "", after: keyOf(after), prefixes: all.prefixes, max_bytes };
    const { values: found, more } = pageOf(values, request);
    return [found.map(([key]) => key).join(), more];
  };
  assert.deepEqual(page("", 1), ["p1", true]);
  assert.deepEqual(page("", 14), ["p1,p2", true]);
  assert.deepEqual(page("p2", 14), ["é1", false]);
  assert.deepEqual(page("", 100), ["p1,p2,é1", false]);
});
