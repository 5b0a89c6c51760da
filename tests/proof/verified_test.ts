/** `@arqon/sdk/proof`: a subscription whose messages are held against the room's log, and what it says of logs that lie. */
import assert from "node:assert/strict";
import { connect } from "@arqon/sdk";
import type { Message } from "@arqon/sdk";
import { replay } from "@arqon/sdk/history";
import { ProofError, VerifiedLog } from "@arqon/sdk/proof";
import type { VerifiedLogOptions } from "@arqon/sdk/proof";
import { encodeLeaf, payloadHash } from "../../shared/proof/entry.ts";
import { cosigner, encodeVerifier, type Signer, signNote } from "@arqon/proto";
import { startLocalBus } from "../harness/local_bus.ts";
import type { TestBus } from "../harness/test_bus.ts";
import { filesOf, signerOf } from "./made_tree.ts";
import type { Files } from "./made_tree.ts";
import { grown, PROOF_CONFIG, publish, served, treeUrl, verifierOf, vkeyOf } from "./served.ts";

const entryOf = (offset: number) =>
  encodeLeaf({ epoch: "e", offset, time_ms: 5, sha256: payloadHash(String(offset)) });

/** Of a room whose log does not have it. */
const MESSAGE = {
  ...{ room: "bets", type: "t", sender: "ann", content_type: "application/json", schema_id: "" },
  ...{ epoch: "e", offset: 7n, timestamp_ms: 0, headers: {}, trace_id: "", message_id: "" },
  data: new TextEncoder().encode("1"),
} as unknown as Message;

async function* only(message: Message) {
  yield await Promise.resolve(message);
}

/** Reads so many messages of the room from its start, verified. */
async function read(bus: TestBus, options: VerifiedLogOptions, count: number) {
  const log = new VerifiedLog(options);
  const seen: number[] = [];
  await using client = await connect({ url: bus.url, token: bus.token });
  const messages = client.room("bets").subscribe({ begin: replay({ from: "start" }) });
  for await (const message of log.verify(messages)) {
    seen.push(message.json<{ n: number }>().n);
    if (seen.length === count) break;
  }
  return { seen, checkpoint: log.checkpoint! };
}

Deno.test("each message of a subscription is verified, and a log that is continued goes on", async () => {
  await using bus = await startLocalBus(PROOF_CONFIG);
  const files = served(bus, "default.bets");
  await publish(bus, "bets", 300);
  await grown(files, await verifierOf(files), 300);
  const options = { url: treeUrl(bus, "default.bets"), vkeys: [await vkeyOf(files)] };
  const log = new VerifiedLog(options);
  await using client = await connect({ url: bus.url, token: bus.token });
  const room = client.room("bets");
  const messages = log.verify(room.subscribe());
  const next = async () => {
    const { value } = await messages.next();
    assert(value !== undefined);
    return (value as Message).json<{ n: number }>().n;
  };
  const live = next();
  // The loop above subscribes when it is first asked.
  await client.room("bets").publish("t", { n: 300 });
  assert.equal(await live, 300);
  await publish(bus, "bets", 260, 301);
  for (let n = 301; n < 561; n++) assert.equal(await next(), n);
  await messages.return(undefined);
  const kept = log.checkpoint!;
  assert.match(kept, /^bus.example\/default.bets\n561\n/);
  const all = Array.from({ length: 561 }, (_, n) => n);
  assert.deepEqual((await read(bus, { ...options, checkpoint: kept }, 561)).seen, all);
  await assert.rejects(
    read(bus, { ...options, vkeys: [await vkeyOf(served(bus, "default.other"))] }, 1),
    /no known key/,
  );
});

/** That one wrong bit in a file of the entries is damage: only another past that was signed is a fork. */
async function damagesAreFound(
  signer: Signer,
  entries: readonly Uint8Array[],
  look: (files: Files, kept: boolean) => Promise<{ kind?: string }>,
): Promise<void> {
  for (const grown of [entries.slice(0, -1), entries]) {
    const whole = await filesOf(grown, signer);
    for (const name of [...whole.keys()].filter((one) => one !== "checkpoint")) {
      const bytes = Uint8Array.from(whole.get(name)!);
      bytes[bytes.length - 1]! ^= 1;
      for (const kept of [false, true]) {
        const { kind } = await look(new Map([...whole, [name, bytes]]), kept);
        // So short a tree is read without its tiles.
        assert.equal(kind, name.startsWith("tile/entries/") ? "damaged" : undefined, name);
      }
    }
  }
}

const replaced = (bytes: Uint8Array, from: RegExp, to: string): Uint8Array =>
  new TextEncoder().encode(new TextDecoder().decode(bytes).replace(from, to));

Deno.test("a log that lies is found, with evidence", async () => {
  await using bus = await startLocalBus(PROOF_CONFIG);
  await publish(bus, "bets", 20);
  const files = served(bus, "default.bets");
  const honest: Uint8Array[] = [];
  const tree = await grown(files, await verifierOf(files), 20);
  for await (const { bytes } of tree.entries()) honest.push(bytes);
  const signer = await signerOf("evil.example/default.bets");
  const told: { files: Files } = { files: await filesOf(honest, signer) };
  await using server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (request) => {
    const bytes = told.files.get(new URL(request.url).pathname.slice(1));
    return bytes === undefined
      ? new Response("none", { status: 404 })
      : new Response(new Uint8Array(bytes));
  });
  const options = {
    url: `http://127.0.0.1:${server.addr.port}`,
    vkeys: [encodeVerifier(signer)],
    wait_ms: 1,
  };
  const { checkpoint } = await read(bus, options, 20);
  const lies = async (entries: readonly Uint8Array[], kind: string, more = {}) => {
    told.files = await filesOf(entries, signer);
    const error = await read(bus, { ...options, ...more }, 20).then(
      () => assert.fail(`${kind} was not found`),
      (found) => found,
    );
    assert(error instanceof ProofError, String(error));
    assert.equal(error.kind, kind);
    return error.evidence;
  };
  const other = replaced(honest[7]!, /"sha256":"\w+"/, `"sha256":"${payloadHash("x")}"`);
  const { entry, sha256, message, checkpoints } = await lies(honest.with(7, other), "changed");
  assert.equal(entry, new TextDecoder().decode(other));
  assert.equal(message?.json<{ n: number }>().n, 7);
  assert.equal(sha256, JSON.parse(new TextDecoder().decode(honest[7]!)).sha256);
  assert.equal(checkpoints.length, 1);
  await lies(honest.toSpliced(7, 1), "missing");
  // The bus names its present epoch, also of what was stored in an earlier one.
  const earlier = honest.map((bytes) => replaced(bytes, /"epoch":"\w+"/, '"epoch":"earlier"'));
  told.files = await filesOf(earlier, signer);
  assert.equal((await read(bus, options, 20)).seen.length, 20);
  const more = replaced(honest[7]!, /"offset":(\d+)/, '"offset":$1.5');
  assert.equal(
    (await lies(honest.toSpliced(8, 0, more), "gap")).entry,
    new TextDecoder().decode(more),
  );
  told.files = await filesOf(honest.toSpliced(8, 0, more), signer);
  assert.equal((await read(bus, { ...options, complete: false }, 20)).seen.length, 20);
  // A reader who has kept a checkpoint sees every other past.
  const forked = await lies(honest.with(7, other).concat(more), "fork", { checkpoint });
  assert.equal(forked.checkpoints[0], checkpoint);
  await lies(honest.slice(0, 12), "fork", { checkpoint });
  await damagesAreFound(signer, honest.concat(more), async (files, kept) => {
    told.files = files;
    return await read(bus, { ...options, ...kept ? { checkpoint } : {} }, 20).catch((error) =>
      error
    );
  });
});

Deno.test("a log that gets shorter while it is read, and one that lacks cosignatures, are not followed", async () => {
  const origin = "evil.example/default.bets";
  const signer = await signerOf(origin);
  const entries = Array.from({ length: 3 }, (_, at) => entryOf(at + 1));
  const told = { files: await filesOf(entries, signer) };
  await using server = Deno.serve({ port: 0, hostname: "127.0.0.1", onListen() {} }, (request) => {
    const bytes = told.files.get(new URL(request.url).pathname.slice(1));
    return new Response(bytes === undefined ? "none" : new Uint8Array(bytes), {
      status: bytes === undefined ? 404 : 200,
    });
  });
  const options = {
    url: `http://127.0.0.1:${server.addr.port}`,
    vkeys: [encodeVerifier(signer)],
    wait_ms: 1,
  };
  const failed = async (log: VerifiedLog) => {
    for await (const _ of log.verify(only(MESSAGE)));
  };
  const log = new VerifiedLog(options);
  const kindOf = (kind: string) => (error: unknown) =>
    error instanceof ProofError && error.kind === kind;
  await assert.rejects(failed(log), kindOf("missing"));
  told.files = await filesOf(entries.slice(0, 2), signer);
  await assert.rejects(failed(log), kindOf("fork"));

  const witnesses = await Promise.all(
    ["w1", "w2", "w3"].map(async (name) => cosigner(await signerOf(name), () => 1_000)),
  );
  const vkeys = witnesses.map(encodeVerifier);
  const cosigned = async (files: Files, ...by: Signer[]) => {
    const note = new TextDecoder().decode(files.get("checkpoint"));
    const text = note.slice(0, note.indexOf("\n\n") + 1);
    const lines = (await signNote(text, by)).slice(text.length + 1);
    return new Map([...files, ["checkpoint", new TextEncoder().encode(note + lines)]]);
  };
  const files = await filesOf(entries, signer);
  const reads = (more: Partial<VerifiedLogOptions>) =>
    failed(new VerifiedLog({ ...options, ...more }));
  const [w1, w2, w3] = witnesses as [Signer, Signer, Signer];
  const short = { ...w1, sign: () => Promise.resolve(new Uint8Array(3)) };
  told.files = await cosigned(files, short);
  await assert.rejects(reads({ witnesses: vkeys }), /the signature of w1 is not of this/);
  told.files = await cosigned(files, w1, w3);
  await assert.rejects(reads({ witnesses: vkeys }), /2 of 3 witnesses have cosigned/);
  await assert.rejects(reads({ witnesses: vkeys, quorum: 2 }), kindOf("missing"));
  await assert.rejects(
    reads({ witnesses: [vkeys[0]!, vkeys[0]!, vkeys[1]!], quorum: 2 }),
    /1 of 2 witnesses have cosigned/,
  );
  told.files = await cosigned(files, w1, { ...w2, sign: w3.sign });
  await assert.rejects(
    reads({ witnesses: vkeys, quorum: 1 }),
    /the signature of w2 is not of this/,
  );
  for (const quorum of [0, 4, 1.5]) {
    assert.throws(() => new VerifiedLog({ ...options, witnesses: vkeys, quorum }), RangeError);
  }
});
