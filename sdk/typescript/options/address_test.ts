// Valid and invalid URLs as users write them; nothing is connected.
import assert from "node:assert/strict";
import { parseAddress } from "./options.ts";

Deno.test("addresses as users write them become the URLs of socket and check", () => {
  const local = {
    socket_url: "ws://localhost:4000/v1/socket",
    check_url: "http://localhost:4000/v1/auth/check",
  };
  for (
    const text of [
      "localhost:4000",
      "ws://localhost:4000",
      "ws://localhost:4000/",
      "http://localhost:4000",
      " ws://localhost:4000/v1/socket ",
      "ws://localhost:4000/v1/socket/",
      "ws://localhost:4000?x=1#y",
    ]
  ) assert.deepEqual(parseAddress(text), local, text);
  assert.deepEqual(parseAddress("https://bus.example.com/eu"), {
    socket_url: "wss://bus.example.com/eu/v1/socket",
    check_url: "https://bus.example.com/eu/v1/auth/check",
  });
  assert.equal(parseAddress("[::1]:4000").socket_url, "ws://[::1]:4000/v1/socket");
});

Deno.test("the error of an invalid URL names the expected form", () => {
  const expected = /expected "ws:\/\/host:port"/;
  for (const text of ["", "ws://", "ftp://x", "ws://a b", "ws://x:99999", "nats://x:4222"]) {
    assert.throws(() => parseAddress(text), expected, text);
  }
  assert.throws(() => parseAddress("ws://user:secret@host"), (error: unknown) => {
    assert.ok(error instanceof TypeError);
    assert.match(error.message, /a URL with a password/);
    assert.ok(!error.message.includes("secret"));
    return true;
  });
});
