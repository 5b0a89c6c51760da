// Keys of issuers in files and behind a URL of a real server: what counts as usable, and who may write the files.
import assert from "node:assert/strict";
import { exportJWK } from "@panva/jose";
import { configFrom } from "../../shared/config/load.ts";
import { diskIo } from "../testing/disk_io.ts";
import { newKeyPair } from "../bus/token.ts";
import { keyFindings, secretFindings } from "./keys.ts";
import { freePort } from "../../tests/harness/free_ports.ts";

async function weakKey() {
  const parameters = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256", modulusLength: 1_024 };
  const publicExponent = new Uint8Array([1, 0, 1]);
  const pair = await crypto.subtle.generateKey({ ...parameters, publicExponent }, true, ["sign"]);
  return await exportJWK((pair as CryptoKeyPair).publicKey);
}

Deno.test("keys must exist, be strong enough, of the right kind and writable by nobody else", async () => {
  const folder = await Deno.makeTempDir();
  const { public_jwk, private_jwk } = await newKeyPair("RS256");
  const set = (...keys: object[]) => JSON.stringify({ keys });
  const sets: Record<string, string> = {
    good: set(public_jwk),
    weak: set(await weakKey()),
    secret: set(private_jwk),
    other: set((await newKeyPair("EdDSA")).public_jwk),
    text: "hello",
  };
  for (const [name, text] of Object.entries(sets)) {
    await Deno.writeTextFile(`${folder}/${name}`, text);
  }
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    ({ url }) =>
      url.includes("/good") ? new Response(sets["good"]) : new Response("", { status: 404 }),
  );
  const base = `http://127.0.0.1:${server.addr.port}`;
  const find = async (source: object) => {
    const issuer = { issuer: "me", audience: "it", tenants: ["*"], ...source };
    const findings = await keyFindings(diskIo(folder), configFrom({ auth: { issuers: [issuer] } }));
    return findings.map(({ status, text }) => `${status} ${text}`).join("\n");
  };
  assert.match(await find({ jwks_file: "good" }), /^ok issuer me: good has 1 for RS256$/);
  assert.match(await find({ jwks_file: "weak" }), /^fail .*an RSA key of 1024 bits; expected 2048/);
  const secret = await find({ jwks_file: "secret" });
  assert.match(secret, /^fail .*is a private key/);
  assert.ok(!secret.includes(String(private_jwk.d).slice(0, 20)));
  assert.match(await find({ jwks_file: "other" }), /^fail .*has no key for RS256$/);
  assert.match(await find({ jwks_file: "text" }), /^fail .*it is not JSON/);
  assert.match(await find({ jwks_file: "gone" }), /^fail .*gone cannot be read/);
  assert.match(await find({ jwks_url: `${base}/good` }), /^ok issuer me: http.*\/good has 1/);
  assert.match(
    await find({ jwks_url: `${base}/none?k=hush` }),
    /^fail .*\/none: it answers HTTP 404$/,
  );
  const nobody = `http://127.0.0.1:${freePort()}/x`;
  assert.match(await find({ jwks_url: nobody }), /^fail .*refused/);
  if (Deno.build.os !== "windows") {
    await Deno.chmod(`${folder}/good`, 0o666);
    assert.match(await find({ jwks_file: "good" }), /^fail .*everybody may write good/);
  }
  assert.match(
    (await keyFindings(diskIo(folder), configFrom({})))[0]?.text ?? "",
    /there is no issuer/,
  );
  await Deno.remove(folder, { recursive: true });
});

Deno.test("a file of any table that is missing, useless or open to others is named with its key", async () => {
  const folder = await Deno.makeTempDir();
  const config = configFrom({
    hooks: [{ id: "h", tenant: "t", url: "https://x.example", room: "*", secret_file: "secret" }],
    pusher: { apps: [{ id: "a", key: "k", tenant: "t", secret_file: "secret" }] },
    centrifugo: { api_keys: [{ tenant: "t", key_file: "secret" }] },
    proof: { key_file: "secret" },
    webhooks: { ca_file: "secret" },
  });
  const failed = async () =>
    (await secretFindings(diskIo(folder), config)).filter(({ status }) => status === "fail")
      .map(({ check }) => check).sort();
  const all = [
    ...["centrifugo.api_keys[0].key_file", "hooks[0].secret_file", "proof.key_file"],
    ...["pusher.apps[0].secret_file", "webhooks.ca_file"],
  ];
  const secrets = all.slice(0, -1);
  assert.deepEqual(await failed(), all, "missing");
  await Deno.writeTextFile(`${folder}/secret`, "\n", { mode: 0o600 });
  assert.deepEqual(await failed(), secrets, "empty");
  await Deno.writeTextFile(`${folder}/secret`, `whsec_${"A".repeat(32)}\n`);
  assert.deepEqual(await failed(), ["proof.key_file"], "a secret of all but the log's key");
  if (Deno.build.os !== "windows") {
    await Deno.chmod(`${folder}/secret`, 0o644);
    assert.deepEqual(await failed(), secrets, "open to others");
  }
  await Deno.remove(folder, { recursive: true });
});
