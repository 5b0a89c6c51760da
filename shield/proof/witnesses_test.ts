/** Witnesses that lie, hang, or send too much: how long a log waits for them, and what it reads and accepts. */
import assert from "node:assert/strict";
import { cosigner, emptyRoot, encodeCheckpoint, encodeVerifier, signNote } from "@arqon/proto";
import { signerOf } from "../../tests/proof/made_tree.ts";
import { keptLog } from "../testing/spine.ts";
import { Witnesses } from "./witnesses.ts";

const ORIGIN = "bus.example/acme.bets";
const CHUNK = new Uint8Array(65_536).fill(0x41);

/** The cosignatures that a log gets from such a witness, and the number of requests. */
async function asked(
  answer: (note: string, old_size: number, hashes: number) => Response | Promise<Response>,
  wait_ms = 60_000,
  size = 1,
) {
  let times = 0;
  await using server = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    async (request) => {
      times++;
      const body = await request.text();
      const [head = "", note = ""] = body.split(/\n\n([^]*)/);
      return await answer(note, parseInt(head.slice(4), 10), head.split("\n").length - 1);
    },
  );
  const log = await signerOf(ORIGIN);
  const counts = { cosigned: 0, uncosigned: 0, forks: 0 };
  const witnesses = new Witnesses({
    witnesses: [{ url: `http://127.0.0.1:${server.addr.port}`, vkey: encodeVerifier(WITNESS) }],
    counts,
    log: keptLog().log,
    monotonic_ms: () => 0,
    wait_ms,
  });
  const tree = { origin: ORIGIN, size, root: emptyRoot() };
  const note = await signNote(encodeCheckpoint(tree), [log]);
  const read = () => Promise.resolve(emptyRoot());
  const lines = await witnesses.cosign({ origin: ORIGIN, size, note, read });
  return { lines, times, ...counts };
}

const WITNESS = cosigner(await signerOf("witness.example"), () => 0);
const NOTHING = { lines: "", cosigned: 0, uncosigned: 1, forks: 0 };

/** An endless body that counts the bytes read. */
function endless(taken: { bytes: number; is_given_up: boolean }) {
  return new ReadableStream({
    pull(controller) {
      taken.bytes += CHUNK.length;
      controller.enqueue(CHUNK);
    },
    cancel: () => void (taken.is_given_up = true),
  });
}

Deno.test("a log stops reading a witness's endless answer, whatever its status", async () => {
  for (const status of [200, 403, 409]) {
    const taken = { bytes: 0, is_given_up: false };
    const had = await asked(() => new Response(endless(taken), { status }));
    assert.deepEqual(had, { ...NOTHING, times: 1 });
    assert(taken.bytes < 16_777_216, `${taken.bytes} bytes of a signature`);
  }
});

Deno.test("a log does not wait for a witness that stops in the middle of its answer", async () => {
  const begun = new ReadableStream({ start: (controller) => controller.enqueue(CHUNK.slice(1)) });
  assert.deepEqual(await asked(() => new Response(begun), 100), { ...NOTHING, times: 1 });
});

Deno.test("impossible sizes, signatures of others and redirects give no cosignature", async () => {
  const of = (body: string, status = 200, headers = {}) => () =>
    new Response(body, { status, headers });
  const stranger = cosigner(await signerOf("witness.example"), () => 0);
  const signed = async (note: string, by = WITNESS) =>
    (await signNote(note.slice(0, note.indexOf("\n\n") + 1), [by])).split("\n\n")[1]!;
  for (
    const answer of [
      ...[of("999999999999999\n", 409), of("9".repeat(4_000), 409), of("-1\n", 409)],
      ...[of("1e0\n", 409), of("0x1\n", 409), of("", 409), of("0\n", 409), of("no", 500)],
      ...[of(""), of("— witness.example AAAA\n"), of("\n\n— x y\n"), of("\0".repeat(99))],
      async (note: string) => new Response(await signed(note, stranger)),
      async (note: string) => new Response(await signed(note.replace("\n1\n", "\n2\n"))),
      of("", 307, { location: "/elsewhere" }),
    ]
  ) assert.deepEqual(await asked(answer), { ...NOTHING, times: 1 });
  const more = await asked(async (note) => {
    const line = await signed(note);
    return new Response(line + await signed(note, stranger) + line);
  });
  assert.deepEqual(more, { lines: more.lines, cosigned: 1, uncosigned: 0, forks: 0, times: 1 });
  assert.equal(more.lines.split("\n").length, 2, "its own line, and once");
});

Deno.test("a witness to which another Shield sends the same checkpoint meanwhile has seen no fork", async () => {
  const conflict = (body: string) => new Response(body, { status: 409 });
  const had = await asked(
    async (note, old_size) => {
      if (old_size < 2) return conflict(`${old_size + 1}\n`);
      return new Response(
        (await signNote(note.slice(0, note.indexOf("\n\n") + 1), [WITNESS])).split("\n\n")[1],
      );
    },
    60_000,
    2,
  );
  assert.deepEqual(had, { lines: had.lines, cosigned: 1, uncosigned: 0, forks: 0, times: 3 });
  assert.deepEqual(await asked(() => conflict("1\n")), { ...NOTHING, forks: 1, times: 2 });
});

Deno.test("a witness with another past of a power of two of entries gets the log's own proof", async () => {
  const asks: [old_size: number, hashes: number][] = [];
  const had = await asked(
    (_, old_size, hashes) => {
      asks.push([old_size, hashes]);
      return old_size === 4
        ? new Response("it is not proven", { status: 422 })
        : new Response("4\n", { status: 409 });
    },
    ...[60_000, 7] as const,
  );
  assert.deepEqual(had, { ...NOTHING, forks: 1, times: 3 });
  assert.deepEqual(asks, [[0, 0], [4, 1], [4, 2]]);
});
