/**
 * Requests that HTTP/1.1 parsers interpret differently, as raw text: each has a second request inside what may be its
 * body, with a path that occurs nowhere else. The test sends them.
 */

/** Only a request for a parser that interprets the first one differently. */
const INNER = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
const CHUNKED = "Transfer-Encoding: chunked";

/** POST with these headers and this body. */
const post = (lines: readonly string[], body: string) =>
  ["POST /first HTTP/1.1", "Host: a", ...lines, "", body].join("\r\n");
/** The same; a parser that sees no length would take `INNER` for the next request. */
const chunkedOr = (...lines: readonly string[]) => post(lines, `0\r\n\r\n${INNER}`);
const lengthOr = (...lines: readonly string[]) => post(lines, INNER);
const chunks = (text: string) => post([CHUNKED], text);
const length = INNER.length;

/** By their irregularity. */
export const SMUGGLING: Readonly<Record<string, string>> = {
  "both lengths, chunked first": chunkedOr(CHUNKED, `Content-Length: ${length + 5}`),
  "both lengths, length first": chunkedOr(`Content-Length: ${length + 5}`, CHUNKED),
  "both lengths, length 0": chunkedOr("Content-Length: 0", CHUNKED),
  "two lengths": lengthOr(`Content-Length: ${length}`, "Content-Length: 0"),
  "the same length twice": lengthOr(`Content-Length: ${length}`, `Content-Length: ${length}`),
  "a list of lengths": lengthOr(`Content-Length: ${length}, ${length}`),
  "a list of two lengths": lengthOr(`Content-Length: ${length}, 0`),
  "a length with a plus": lengthOr(`Content-Length: +${length}`),
  "a negative length": lengthOr("Content-Length: -1"),
  "a length with a point": lengthOr(`Content-Length: ${length}.0`),
  "a hexadecimal length": lengthOr(`Content-Length: 0x${length.toString(16)}`),
  "a length with an underscore": lengthOr("Content-Length: 1_0"),
  "a length with zeros before it": lengthOr(`Content-Length: 000${length}`),
  "a length beyond 64 bits": lengthOr(`Content-Length: 18446744073709551616`),
  "a length beyond 64 bits that wraps": lengthOr(`Content-Length: ${2n ** 64n + BigInt(length)}`),
  "an empty length": lengthOr("Content-Length:"),
  "a length with a blank inside": lengthOr("Content-Length: 3 4"),
  "a length after a vertical tab": lengthOr(`Content-Length: \x0b${length}`),
  "a blank before the colon of the length": lengthOr(`Content-Length : ${length}`),
  "a tab before the colon of the length": lengthOr(`Content-Length\t: ${length}`),
  "a blank before the colon of the coding": chunkedOr("Transfer-Encoding : chunked"),
  "a coding over two lines": chunkedOr("Transfer-Encoding:", " chunked"),
  "a length over two lines": lengthOr("Content-Length:", `\t${length}`),
  "a folded header before the coding": chunkedOr("X-A: b", ` ${CHUNKED}`),
  "chunked, identity": chunkedOr("Transfer-Encoding: chunked, identity"),
  "identity, chunked": chunkedOr("Transfer-Encoding: identity, chunked"),
  "identity": chunkedOr("Transfer-Encoding: identity"),
  "chunked, chunked": chunkedOr("Transfer-Encoding: chunked, chunked"),
  "chunked twice": chunkedOr(CHUNKED, CHUNKED),
  "gzip, chunked": chunkedOr("Transfer-Encoding: gzip, chunked"),
  "chunked after a vertical tab": chunkedOr("Transfer-Encoding: \x0bchunked"),
  "chunked after a form feed": chunkedOr("Transfer-Encoding: \x0cchunked"),
  "chunked before a vertical tab": chunkedOr("Transfer-Encoding: chunked\x0b"),
  "chunked in quotes": chunkedOr('Transfer-Encoding: "chunked"'),
  "chunked with a parameter": chunkedOr("Transfer-Encoding: chunked;q=1"),
  "xchunked": chunkedOr("Transfer-Encoding: xchunked"),
  "an empty coding": chunkedOr("Transfer-Encoding:", "Content-Length: 0"),
  "chunked after a comma": chunkedOr("Transfer-Encoding: ,chunked"),
  "an underscore in the coding's name": chunkedOr("Transfer_Encoding: chunked"),
  "NUL after chunked": chunkedOr("Transfer-Encoding: chunked\0"),
  "a bare LF before the coding": chunkedOr("X-A: b\nTransfer-Encoding: chunked"),
  "a bare CR before the coding": chunkedOr("X-A: b\rTransfer-Encoding: chunked"),
  "bare LFs at the end of lines":
    `POST /first HTTP/1.1\nHost: a\nContent-Length: ${length}\n\n${INNER}`,
  "a chunk with a plus": chunks(`+5\r\nhello\r\n0\r\n\r\n`),
  "a chunk with 0x": chunks("0x5\r\nhello\r\n0\r\n\r\n"),
  "a chunk with a blank before its size": chunks(" 5\r\nhello\r\n0\r\n\r\n"),
  "a chunk with a blank after its size": chunks("5 \r\nhello\r\n0\r\n\r\n"),
  "a chunk beyond 64 bits": chunks(`10000000000000005\r\nhello\r\n0\r\n\r\n${INNER}`),
  "a chunk beyond 32 bits": chunks(`100000005\r\nhello\r\n0\r\n\r\n`),
  "a negative chunk": chunks(`-1\r\nhello\r\n0\r\n\r\n`),
  "a chunk of no size": chunks("\r\nhello\r\n0\r\n\r\n"),
  "a chunk that is longer than it says": chunks(`3\r\nhello\r\n0\r\n\r\n`),
  "a chunk that ends with LF": chunks("5\r\nhello\n0\r\n\r\n"),
  "a size that ends with LF": chunks(`5\nhello\r\n0\r\n\r\n`),
  "a size that ends with CR": chunks(`5\rhello\r\n0\r\n\r\n`),
  "a last chunk that ends with LF": chunks(`5\r\nhello\r\n0\n\n${INNER}`),
  "a chunk extension": chunks(`5;a=b\r\nhello\r\n0\r\n\r\n`),
  "a chunk extension with a bare LF": chunks(`5;a\nb\r\nhello\r\n0\r\n\r\n`),
  "a chunk extension with a bare CR": chunks(`5;a\rb\r\nhello\r\n0\r\n\r\n`),
  "a chunk extension in open quotes": chunks(`5;a="\r\nhello\r\n0\r\n\r\n`),
  "many zeros as the last chunk": chunks(`5\r\nhello\r\n${"0".repeat(20)}\r\n\r\n`),
  "a trailer": chunks("5\r\nhello\r\n0\r\nX-A: b\r\n\r\n"),
  "a trailer that is a length": chunks(`5\r\nhello\r\n0\r\nContent-Length: ${length}\r\n\r\n`),
  "a trailer that is a coding": chunks(`5\r\nhello\r\n0\r\n${CHUNKED}\r\n\r\n`),
  "a trailer with a bare LF": chunks("5\r\nhello\r\n0\r\nX-A: b\n\r\n"),
  "a trailer that is folded": chunks("5\r\nhello\r\n0\r\nX-A: b\r\n c\r\n\r\n"),
  "a trailer that is a request": chunks(`5\r\nhello\r\n0\r\n${INNER}`),
  "HTTP/1.0 with chunked": `POST /first HTTP/1.0\r\nHost: a\r\n${CHUNKED}\r\n\r\n0\r\n\r\n${INNER}`,
  "HTTP/1.0 kept alive": `GET /first HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n`,
  "HTTP/0.9": "GET /first\r\n",
  "HTTP/1.2": "GET /first HTTP/1.2\r\nHost: a\r\n\r\n",
  "HTTP/2.0": "GET /first HTTP/2.0\r\nHost: a\r\n\r\n",
  "HTTP/1.10": "GET /first HTTP/1.10\r\nHost: a\r\n\r\n",
  "several Hosts": "GET /first HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
  "no Host": "GET /first HTTP/1.1\r\n\r\n",
  "a list of Hosts": "GET /first HTTP/1.1\r\nHost: a, b\r\n\r\n",
  "a Host with a path": "GET /first HTTP/1.1\r\nHost: a/b\r\n\r\n",
  "a Host with a user": "GET /first HTTP/1.1\r\nHost: u@a\r\n\r\n",
  "an absolute target": "GET http://a/first HTTP/1.1\r\nHost: a\r\n\r\n",
  "an absolute target of another host": "GET http://b/first HTTP/1.1\r\nHost: a\r\n\r\n",
  "an absolute target with a user": "GET http://u@a/first HTTP/1.1\r\nHost: a\r\n\r\n",
  "a target of another scheme": "GET ftp://a/first HTTP/1.1\r\nHost: a\r\n\r\n",
  "a target without a slash": "GET first HTTP/1.1\r\nHost: a\r\n\r\n",
  "a target with a blank": "GET /first /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
  "a target with a fragment": "GET /first#/smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
  "a target with a backslash": "GET /first\\..\\smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
  "a target that goes up": "GET /first/../smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
  "a target that goes up in escapes": "GET /first/%2e%2E/smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
  "a target that goes nowhere": "GET /./smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
  "two blanks in the request line": "GET  /first HTTP/1.1\r\nHost: a\r\n\r\n",
  "a blank before the request line": " GET /first HTTP/1.1\r\nHost: a\r\n\r\n",
  "a blank after the version": "GET /first HTTP/1.1 \r\nHost: a\r\n\r\n",
  "an empty line before the request": "\r\nGET /first HTTP/1.1\r\nHost: a\r\n\r\n",
  "a bare LF before the request": "\nGET /first HTTP/1.1\r\nHost: a\r\n\r\n",
  "a header before the first": "GET /first HTTP/1.1\r\n X-A: b\r\nHost: a\r\n\r\n",
  "a header without a colon": "GET /first HTTP/1.1\r\nHost: a\r\nX-A\r\n\r\n",
  "a header without a name": "GET /first HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
  "a name beyond ASCII": "GET /first HTTP/1.1\r\nHost: a\r\nX-\xe4: b\r\n\r\n",
  "GET with a length":
    `GET /first HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\n\r\n${INNER}`,
  "GET with chunks": `GET /first HTTP/1.1\r\nHost: a\r\n${CHUNKED}\r\n\r\n5\r\nhello\r\n0\r\n\r\n`,
  "HEAD with a length":
    `HEAD /first HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}\r\n\r\n${INNER}`,
  "OPTIONS of everything": "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
  "OPTIONS with a length": `OPTIONS /first HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello`,
  "a method in lower case": "get /first HTTP/1.1\r\nHost: a\r\n\r\n",
  "CONNECT": "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n",
  "Expect of another kind": lengthOr("Expect: 200-ok", `Content-Length: ${length}`),
  "Expect with the body at once": lengthOr("Expect: 100-continue", `Content-Length: ${length}`),
  "Upgrade with a length": lengthOr(
    "Connection: upgrade",
    "Upgrade: websocket",
    `Content-Length: ${length}`,
  ),
  "Upgrade to h2c": "GET /first HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n" +
    "Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n",
  "Connection names the length": lengthOr(
    "Connection: Content-Length",
    `Content-Length: ${length}`,
  ),
  "pipelined": post(["Content-Length: 5"], "hello") + "GET /second HTTP/1.1\r\nHost: a\r\n\r\n",
};

/** A request after it, which ends the connection. */
export const AFTER = "GET /after HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
