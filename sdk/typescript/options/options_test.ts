// Valid and invalid URLs as users write them, and options that `connect` refuses, with name, value and what is
// expected. Nothing is connected.
import assert from "node:assert/strict";
import { type ConnectOptions, parseAddress, settingsFrom } from "./options.ts";
import { subTermsOf } from "../subscription/room_entry.ts";

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

const read = (options: unknown) =>
  settingsFrom({ url: "localhost:4000", token: "a.b.c", ...options as Partial<ConnectOptions> });

Deno.test("an invalid option is refused with its name, its value and what is expected", () => {
  const backoff = { base_ms: 250, max_ms: 15_000 };
  for (
    const [wrong, text] of [
      [{ backoff: 5 }, "backoff is 5; expected { base_ms, max_ms }"],
      [{ backoff: null }, "backoff is null; expected { base_ms, max_ms }"],
      [{ backoff: { initial_ms: 5 } }, "backoff.initial_ms is 5; expected base_ms or max_ms"],
      [
        { backoff: { ...backoff, base_ms: NaN } },
        "backoff.base_ms is NaN; expected 0 to 2147483647",
      ],
      [{ backoff: { max_ms: -1 } }, "backoff.max_ms is -1; expected 0 to 2147483647"],
      [{ backoff: { max_ms: Infinity } }, "backoff.max_ms is Infinity; expected 0 to 2147483647"],
      [{ backoff: { max_ms: "9" } }, 'backoff.max_ms is "9"; expected 0 to 2147483647'],
      [{ window: "5" }, 'window is "5"; expected at least 1'],
      [{ window: NaN }, "window is NaN; expected at least 1"],
      [{ offline: "drop" }, 'offline is "drop"; expected "queue" or "refuse"'],
      [{ signer: "key" }, 'signer is "key"; expected an object with sign(data)'],
      [{ signer: { sign: 1 } }, 'signer is {"sign":1}; expected an object with sign(data)'],
      [{ traceparent: "00-x" }, 'traceparent is "00-x"; expected a function'],
      [{ getToken: "a.b.c" }, "getToken is not shown; expected a function"],
      [{ onError: 1n }, "onError is 1; expected a function"],
      [
        { headers: { a: "b" } },
        'headers is {"a":"b"}; expected none: WebSockets of browsers send none',
      ],
      [{ on_overflow: "error" }, 'on_overflow is "error"; expected it at subscribe and listen'],
      [{ get_token: "a.b.c" }, "get_token is not shown; expected getToken"],
    ] as const
  ) assert.throws(() => read(wrong), { name: "TypeError", message: text });
});

Deno.test("options that are left out, or undefined, have their defaults", () => {
  const { backoff, window } = read({
    backoff: { base_ms: 5, max_ms: undefined },
    window: undefined,
  });
  assert.deepEqual([backoff, window], [{ base_ms: 5, max_ms: 15_000 }, 256]);
  const signer = { sign: () => new Uint8Array(64) };
  assert.equal(read({ signer, offline: "refuse", headers: undefined }).signer, signer);
});

Deno.test("a loop's on_overflow is one of three words", () => {
  const options = { on_overflow: "drop" } as unknown as { on_overflow: "error" };
  assert.throws(() => subTermsOf("lobby", options), {
    message: 'on_overflow is "drop"; expected "error" or "drop-oldest" or "drop-newest"',
  });
});
