/** Signatures, addresses, pauses and answers of hooks, compared with the scheme's own packages; refused ones. */
import assert from "node:assert/strict";
import fc from "fast-check";
import { Webhook } from "standardwebhooks";
import { isPublicAddress } from "./address.ts";
import { readAnswer } from "./answer.ts";
import { TenantHook } from "../config/automation/hooks.ts";
import { configFrom } from "../config/load.ts";
import { CallFailed, callHook, callTerms } from "./call.ts";
import { pauseAfter } from "./schedule.ts";
import { secretBytes } from "../config/values/hook_secret.ts";
import { signedHeaders } from "./signature.ts";

const SECRET = "whsec_" + new Uint8Array(24).fill(9).toBase64();
const encoder = new TextEncoder();

Deno.test("the package of Standard Webhooks verifies our signatures, and refuses changed ones", () => {
  const hook = new Webhook(SECRET);
  fc.assert(fc.property(fc.json(), fc.uuid(), (body, id) => {
    const headers = signedHeaders(SECRET, { id, now_ms: Date.now(), body });
    assert.deepEqual(hook.verify(body, headers), JSON.parse(body));
    assert.throws(() => hook.verify(`${body} `, headers));
    assert.throws(() => hook.verify(body, { ...headers, "webhook-id": `${id}0` }));
  }));
  const old = signedHeaders(SECRET, { id: "a", now_ms: Date.now() - 600_000, body: "{}" });
  assert.throws(() => hook.verify("{}", old), /too old/);
});

Deno.test("a vector that never changes", () => {
  // By openssl: printf 'msg_1.1700000000.{"a":1}' | openssl dgst -sha256 -mac HMAC -macopt hexkey:0909… -binary |
  // base64
  const headers = signedHeaders(SECRET, {
    id: "msg_1",
    now_ms: 1_700_000_000_999,
    body: '{"a":1}',
  });
  assert.deepEqual(headers, {
    "webhook-id": "msg_1",
    "webhook-timestamp": "1700000000",
    "webhook-signature": "v1,kNR+rzBaGySTxlan2341PIlJybjbEQQ+HsJObT3VYgE=",
  });
});

Deno.test("a vector of the Python package of Standard Webhooks, 1.1.0, with text beyond ASCII", () => {
  const headers = signedHeaders("whsec_" + new Uint8Array(32).fill(7).toBase64(), {
    id: "evt_x_42",
    now_ms: 1_795_606_200_000,
    body: '{"type":"room.message","data":{"text":"Grüße, 世界"}}',
  });
  assert.equal(headers["webhook-signature"], "v1,3WJteZwLMn6GQr7pTSbbJT83XyrtWMxgj/4SFP7K73A=");
});

Deno.test("up to four secrets sign a call, and each verifies it, so that a receiver can rotate its secret", () => {
  const secrets = [1, 2, 3, 4, 5].map((byte) =>
    "whsec_" + new Uint8Array(24).fill(byte).toBase64()
  );
  const call = { id: "a", now_ms: Date.now(), body: "{}" };
  const headers = signedHeaders(` ${secrets.slice(0, 4).join(" \n")}\n`, call);
  assert.match(headers["webhook-signature"] ?? "", /^v1,\S{44}( v1,\S{44}){3}$/);
  for (const [at, secret] of secrets.entries()) {
    const verify = () => new Webhook(secret).verify("{}", headers);
    if (at < 4) assert.deepEqual(verify(), {});
    else assert.throws(verify);
  }
  for (const bad of [secrets.join(" "), `${secrets[0]} x`, " "]) {
    assert.throws(() => signedHeaders(bad, call), TypeError);
  }
  const hook = { url: "https://a.example", secret: secrets.slice(0, 4).join(" ") };
  assert.equal(TenantHook.parse(hook).secret, hook.secret);
  assert.throws(() => TenantHook.parse({ ...hook, secret: secrets.join(" ") }), /whsec_/);
});

Deno.test("an invalid secret is refused", () => {
  const of = (bytes: number) => "whsec_" + new Uint8Array(bytes).toBase64();
  assert.equal(secretBytes(of(24))?.length, 24);
  assert.equal(secretBytes(of(64))?.length, 64);
  for (
    const bad of [of(23), of(65), of(24).slice(6), "whsec_", `${of(24)}!`, of(25).slice(0, -1)]
  ) {
    assert.equal(secretBytes(bad), undefined, bad);
  }
});

Deno.test("only addresses of the internet may be called, in whatever form", () => {
  for (
    const bad of [
      ..."0.0.0.0 10.1.2.3 100.64.0.1 127.0.0.1 127.255.255.254 169.254.169.254 172.16.0.1".split(
        " ",
      ),
      ..."172.31.255.255 192.0.0.8 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.19.255.255"
        .split(" "),
      ..."198.51.100.1 203.0.113.1 224.0.0.1 240.0.0.1 255.255.255.255 256.1.1.1".split(" "),
      ...":: ::1 ::ffff:8.8.8.8 ::ffff:127.0.0.1 ::127.0.0.1 64:ff9b::808:808 64:ff9b::7f00:1"
        .split(" "),
      ..."fe80::1 fe80::1%eth0 fc00::1 fd00:ec2::254 fec0::1 ff02::1 100::1 2001:db8::1".split(" "),
      ..."2001::1 2001:10::1 2002:7f00:1:: 3fff::1 4000::1".split(" "),
      ...["", "localhost", "1.2.3", "0x7f.1", "2130706433", "[::1]"],
    ]
  ) assert.equal(isPublicAddress(bad), false, bad);
  for (
    const good of [
      ..."1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 172.15.0.1".split(" "),
      ..."172.32.0.1 192.0.1.0 198.17.0.1 198.20.0.1 223.255.255.255".split(" "),
      ..."2606:4700:4700::1111 2001:4860:4860::8888 2a00:1450:4001:80b::200e".split(" "),
    ]
  ) assert.equal(isPublicAddress(good), true, good);
});

Deno.test("pauses grow to their bound and end with the retries; a refused body is given up soon", () => {
  const schedule = { retries: 5, backoff_ms: 100, backoff_max_ms: 500 };
  const pauses = (status: number) =>
    [1, 2, 3, 4, 5, 6].map((failed) => pauseAfter(schedule, failed, status, () => 0.5));
  assert.deepEqual(pauses(0), [100, 200, 400, 500, 500, undefined]);
  assert.deepEqual(pauses(503), pauses(0));
  assert.deepEqual(pauses(422), [100, 200, undefined, undefined, undefined, undefined]);
  assert.equal(pauseAfter({ ...schedule, retries: 10_000 }, 9_999, 0, () => 1), 525);
});

/** An answer that arrives in pieces of this many bytes. */
function pieces(text: string, size: number) {
  const bytes = encoder.encode(text);
  let at = 0;
  return {
    read(into: Uint8Array): Promise<number | null> {
      if (at >= bytes.length) return Promise.resolve(null);
      const piece = bytes.subarray(at, at + size);
      into.set(piece);
      at += piece.length;
      return Promise.resolve(piece.length);
    },
  };
}

Deno.test("an answer is read independently of its pieces, up to its limit", async () => {
  const read = async (text: string, most: number, size: number) => {
    const { status, body } = await readAnswer(pieces(text, size), most);
    return [status, body && new TextDecoder().decode(body)];
  };
  for (const size of [1, 3, 16_384]) {
    const chunked =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=1\r\nab\r\n3\r\ncde\r\n0\r\n\r\n";
    assert.deepEqual(await read(chunked, 10, size), [200, "abcde"]);
    assert.deepEqual(await read(chunked, 4, size), [200, undefined]);
    const whole = "HTTP/1.1 202 OK\r\ncontent-length: 3\r\n\r\nabcd";
    assert.deepEqual(await read(whole, 3, size), [202, "abc"]);
    assert.deepEqual(await read(whole, 2, size), [202, undefined]);
    assert.deepEqual(await read(whole, 0, size), [202, undefined]);
    assert.deepEqual(await read("HTTP/1.1 200 OK\r\n\r\nabc", 3, size), [200, "abc"]);
    assert.deepEqual(await read("HTTP/1.1 200 OK\r\n\r\nabc", 2, size), [200, undefined]);
    assert.deepEqual(await read("HTTP/1.1 100 C\r\n\r\nHTTP/1.1 204 N\r\n\r\n", 3, size), [
      204,
      "",
    ]);
    for (
      const bad of [
        "",
        "HTTP/1.1 200 OK\r\n",
        "SSH-2.0-x\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        `HTTP/1.1 200 OK\r\na: ${"x".repeat(40_000)}`,
      ]
    ) await assert.rejects(read(bad, 10, size), Error, bad.slice(0, 60));
  }
});

Deno.test("Retry-After is read in seconds, and as a date by the answer's own clock", async () => {
  const date = "date: Fri, 27 Nov 2026 10:00:00 GMT\r\n";
  const after = async (headers: string) => {
    const text = `HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n${headers}\r\n`;
    return (await readAnswer(pieces(text, 7), 0)).retry_after_ms;
  };
  assert.equal(await after("Retry-After: 120\r\n"), 120_000);
  assert.equal(await after(`${date}retry-after: Fri, 27 Nov 2026 10:01:30 GMT \r\n`), 90_000);
  assert.equal(await after(`retry-after:Friday, 27-Nov-26 10:00:01 GMT\r\n${date}`), 1_000);
  assert.equal(await after(`${date}retry-after: Fri, 27 Nov 2026 09:00:00 GMT\r\n`), 0);
  // Without the answer's own date the delay is unknown.
  for (
    const none of [
      "",
      "retry-after: Fri, 27 Nov 2026 10:01:30 GMT\r\n",
      `${date}retry-after: -1\r\n`,
    ]
  ) {
    assert.equal(await after(none), undefined, none);
  }
  assert.equal(await after(`${date}retry-after: soon\r\n`), undefined);
});

const call = (url: string, more: object = {}) =>
  callHook({
    url,
    headers: {},
    body: "{}",
    timeout_ms: 60_000,
    private_hosts: [],
    answer_bytes: 100,
    ca_certs: [],
    ...more,
  });

Deno.test("no name and no form of a private address is called, and http only where it may be", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  for (
    const host of ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0x7f.1", "0.0.0.0"]
  ) {
    await assert.rejects(call(`https://${host}:${port}/`), /not a public address/, host);
    await assert.rejects(call(`http://${host}:${port}/`), /private_hosts/, host);
  }
  await assert.rejects(call("https://nowhere.invalid/"), CallFailed);
  // An allowed host with a port only covers that port.
  const other = { private_hosts: [`127.0.0.1:${port + 1}`] };
  await assert.rejects(call(`http://127.0.0.1:${port}/`, other), /private_hosts/);
});

Deno.test("a redirect is an answer, 2 MB are not read, and a hanging receiver times out", async () => {
  let requests = 0;
  const { promise: never, resolve: end } = Promise.withResolvers<Response>();
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    requests++;
    const { pathname } = new URL(request.url);
    if (pathname === "/away") return Response.redirect("http://127.0.0.1:1/", 302);
    if (pathname === "/long") return new Response(new Uint8Array(2_000_000));
    if (pathname === "/hangs") return never;
    return new Response("yes");
  });
  const url = `http://127.0.0.1:${server.addr.port}`;
  const may = { private_hosts: ["127.0.0.1"] };
  assert.equal((await call(`${url}/away`, may)).status, 302);
  assert.equal(requests, 1);
  assert.deepEqual(await call(`${url}/long`, may), { status: 200, body: undefined });
  assert.equal(new TextDecoder().decode((await call(`${url}/`, may)).body), "yes");
  const hanging = call(`${url}/hangs`, { ...may, timeout_ms: 100 });
  await assert.rejects(hanging, /no answer within 100 ms/);
  const ending = new AbortController();
  const ended = call(`${url}/hangs`, { ...may, signal: ending.signal });
  ending.abort();
  await assert.rejects(ended, /was ended/);
  end(new Response());
});

const tlsFile = (name: string) =>
  Deno.readTextFileSync(new URL(`../../tests/tls/${name}.pem`, import.meta.url));

Deno.test("a receiver is trusted by its certificate, also of the operator's authorities", async () => {
  const received: string[] = [];
  const tls = { cert: tlsFile("server"), key: tlsFile("server_key") };
  const where = { hostname: "127.0.0.1", port: 0, onListen() {} };
  await using receiver = Deno.serve({ ...where, ...tls }, async (request) => {
    received.push(await request.text());
    return new Response(null, { status: 204 });
  });
  const { port } = receiver.addr;
  const private_hosts = [`localhost:${port}`, `127.0.0.1:${port}`, `other.localhost:${port}`];
  const url = `https://localhost:${port}/`;
  await assert.rejects(call(url, { private_hosts }), /certificate/);
  const ca_certs = [tlsFile("ca")];
  assert.equal((await call(url, { private_hosts, ca_certs })).status, 204);
  // The certificate is for another host.
  const other = call(`https://other.localhost:${port}/`, { private_hosts, ca_certs });
  await assert.rejects(other, CallFailed);
  await assert.rejects(call(url, { private_hosts, ca_certs: ["no certificate"] }), CallFailed);
  assert.deepEqual(received, ["{}"]);
});

Deno.test("the operator sets the allowed calls; with unreadable authorities none is allowed", () => {
  const { webhooks } = configFrom({
    webhooks: { private_hosts: ["a"], tenant_private_hosts: ["b"], ca_file: "/ca.pem" },
  });
  const read = (path: string) => path;
  assert.deepEqual(callTerms(webhooks, false, read), {
    private_hosts: ["a"],
    ca_certs: ["/ca.pem"],
  });
  assert.deepEqual(callTerms(webhooks, true, read).private_hosts, ["b"]);
  const gone = () => {
    throw new Deno.errors.NotFound();
  };
  assert.throws(() => callTerms(webhooks, false, gone), /\[webhooks\] ca_file \/ca.pem cannot/);
});
