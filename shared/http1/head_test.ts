/** Heads of requests: valid ones, and those that parsers could read differently. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { anyCharacter } from "../testing/any_character.ts";
import { endOfHead, MalformedRequest, parseHead } from "./head.ts";

function parse(text: string) {
  const bytes = new Uint8Array([...text].map((unit) => unit.charCodeAt(0)));
  const end = endOfHead(bytes, 0);
  assert.equal(end, bytes.length, "the head has its end");
  return parseHead(bytes);
}

function statusOf(text: string): number {
  try {
    parse(text);
    return 200;
  } catch (error) {
    assert(error instanceof MalformedRequest, `${error}`);
    return error.status;
  }
}

const get = (...lines: string[]) => ["GET / HTTP/1.1", ...lines, "", ""].join("\r\n");
const post = (...lines: string[]) => ["POST /x HTTP/1.1", "Host: a", ...lines, "", ""].join("\r\n");

Deno.test("reads method, target, headers with their values trimmed, and how the body ends", () => {
  const head = parse(post("X-A: \t one \t", "x-a:two", "Empty:", "Content-Length: 5"));
  assert.deepEqual(head, {
    method: "POST",
    target: "/x",
    headers: [["Host", "a"], ["X-A", "one"], ["x-a", "two"], ["Empty", ""], [
      "Content-Length",
      "5",
    ]],
    host: "a",
    framing: { kind: "length", size_bytes: 5 },
    keep_alive: true,
    expects_continue: false,
  });
  assert.deepEqual(parse(post("Transfer-Encoding: Chunked")).framing, { kind: "chunked" });
  assert.equal(parse(post("Expect: 100-Continue", "Content-Length: 1")).expects_continue, true);
});

Deno.test("a connection stays open for HTTP/1.1 unless closed, for HTTP/1.0 only on request", () => {
  assert.equal(parse(get("Host: a", "Connection: x, Close")).keep_alive, false);
  assert.equal(parse("GET / HTTP/1.0\r\n\r\n").keep_alive, false);
  assert.equal(parse("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").keep_alive, true);
});

Deno.test("an Upgrade in HTTP/1.0 is ignored, and the connection ends", () => {
  const lines = ["Connection: Upgrade, keep-alive", "UPGRADE: websocket", "", ""].join("\r\n");
  const old = parse(`GET / HTTP/1.0\r\n${lines}`);
  assert.deepEqual([old.headers.map(([name]) => name), old.keep_alive], [["Connection"], false]);
  assert.equal(parse(`GET / HTTP/1.1\r\nHost: a\r\n${lines}`).headers.length, 3);
});

/** The answers to requests that another parser might read otherwise. */
const REFUSED: readonly (readonly [what: string, text: string, status: number])[] = [
  ["both lengths", post("Content-Length: 5", "Transfer-Encoding: chunked"), 400],
  ["two lengths", post("Content-Length: 5", "Content-Length: 6"), 400],
  ["the same length twice", post("Content-Length: 5", "Content-Length: 5"), 400],
  ["a list of lengths", post("Content-Length: 5, 5"), 400],
  ["a signed length", post("Content-Length: +5"), 400],
  ["a hexadecimal length", post("Content-Length: 0x5"), 400],
  ["an empty length", post("Content-Length:"), 400],
  ["a length without end", post(`Content-Length: ${"9".repeat(30)}`), 400],
  ["another coding", post("Transfer-Encoding: gzip"), 501],
  ["chunked and another", post("Transfer-Encoding: gzip, chunked"), 501],
  ["chunked twice", post("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), 501],
  ["chunked with a blank in it", post("Transfer-Encoding: chun ked"), 501],
  ["chunked with a vertical tab", post("Transfer-Encoding: \vchunked"), 400],
  ["chunked in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400],
  ["a bare LF between headers", get("Host: a\nX: y"), 400],
  ["a bare CR in a value", get("Host: a", "X: y\rz"), 400],
  ["NUL in a value", get("Host: a", "X: y\0z"), 400],
  ["a blank before the colon", get("Host: a", "X : y"), 400],
  ["a header over two lines", get("Host: a", "X: y", " z"), 400],
  ["a header without a name", get("Host: a", ": y"), 400],
  ["a header without a colon", get("Host: a", "X"), 400],
  ["a name with a quote", get("Host: a", '"X": y'), 400],
  ["no Host", get("X: y"), 400],
  ["two Hosts", get("Host: a", "Host: a"), 400],
  ["a Host with a path", get("Host: a/b"), 400],
  ["a Host with a user", get("Host: u@a"), 400],
  ["two blanks in the request line", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400],
  ["a tab in the request line", "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n", 400],
  ["a target with a blank", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400],
  ["a target beyond ASCII", "GET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n", 400],
  ["a target that is no path", "GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400],
  ["an asterisk that is no OPTIONS", "GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400],
  ["a method that is no token", "G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400],
  ["HTTP/0.9", "GET /\r\n\r\n", 400],
  ["HTTP/1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505],
  ["a method in lower case", "get / HTTP/1.1\r\nHost: a\r\n\r\n", 400],
  ["a target with a backslash", "GET /a\\b HTTP/1.1\r\nHost: a\r\n\r\n", 400],
  ["a target with a fragment", "GET /a?b#c HTTP/1.1\r\nHost: a\r\n\r\n", 400],
  ["a target that goes up", "GET /a/%2E. HTTP/1.1\r\nHost: a\r\n\r\n", 400],
  ["HTTP/2", "PRI * HTTP/2.0\r\n\r\n", 505],
  ["a lower-case version", "GET / http/1.1\r\nHost: a\r\n\r\n", 400],
  ["an expectation", post("Expect: 200-maybe"), 417],
  ["headers without end", get("Host: a", ...Array(300).fill("X: y")), 431],
];

for (const [what, text, status] of REFUSED) {
  Deno.test(`refuses ${what} with ${status}`, () => assert.equal(statusOf(text), status));
}

Deno.test("the end is found wherever the head is cut, and not before", () => {
  const bytes = new TextEncoder().encode(get("Host: a", "X: \r", "Y: z"));
  for (let cut = 0; cut < bytes.length; cut++) {
    assert.equal(endOfHead(bytes.subarray(0, cut), Math.max(0, cut - 4)), -1);
  }
  assert.equal(endOfHead(bytes, bytes.length - 4), bytes.length);
});

Deno.test("any bytes are read or refused, with one result only", () => {
  const part = fc.constantFrom("GET", " ", "/", "HTTP/1.1", "\r\n", ":", "Host", "a", "\t", "\n");
  const text = fc.oneof(
    fc.string({ unit: anyCharacter }),
    fc.array(part).map((parts) => parts.join("")),
  );
  fc.assert(fc.property(text, (drawn) => {
    const line = drawn.replaceAll("\r\n\r\n", "");
    const bytes = new TextEncoder().encode(`${line}\r\n\r\n`);
    try {
      parseHead(bytes.subarray(0, endOfHead(bytes, 0)));
    } catch (error) {
      assert(error instanceof MalformedRequest, `${error}`);
    }
  }));
});
