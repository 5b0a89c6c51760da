/** Cases of proofs.json, from `cases/proofs.json`: signed logs as they are served, with the messages of a room. */
import { createPrivateKey, createPublicKey, sign } from "node:crypto";
import { Edge, encodeBundle, encodeCheckpoint, encodeTextMessage, encodeUtf8 } from "@arqon/proto";
import { encodeVerifier, gapSignal, readEnvelope, sha256, TILE_WIDTH } from "@arqon/proto";
import { tilePath, verifierOf, writeEnvelope } from "@arqon/proto";
import type { EnvelopeInput, Verifier } from "@arqon/proto";
import { type Plain, toHex } from "./plain.ts";

const ORIGIN = "bus.example/acme.bets";
/** Keys by name: "own" is the log's, "other" another key of it, "renamed" one of another log, w1 … are witnesses'. */
const NAMES: Readonly<Record<string, string>> = {
  own: ORIGIN,
  other: ORIGIN,
  renamed: "bus.example/acme.cards",
};
const WAIT_MS = 1;

/** The entries, or so many of them by their offsets, of which one may be another message, and what follows. */
type Entries = readonly string[] | {
  readonly count: number;
  readonly other?: number;
  readonly then?: readonly string[];
};

/** A version of a log, or its entries; "none": there is no log. */
type Log = Entries | "none" | ServedLog;

interface ServedLog {
  readonly entries: Entries;
  /** The signers; default: "own". */
  readonly by?: readonly string[];
  /** The file whose last byte is changed or missing. */
  readonly damaged?: string;
  readonly cut?: string;
  /** This many answers are 503, with a retry time of 1 ms. */
  readonly refusals?: number;
}

/** A hand-written case. The first log exists before the first message. */
export interface ProofCase {
  readonly name: string;
  readonly logs: readonly Log[];
  readonly messages: readonly string[];
  readonly vkeys?: readonly string[];
  readonly witnesses?: readonly string[];
  readonly quorum?: number;
  readonly checkpoint?: Entries;
  readonly complete?: false;
  readonly wait_ms?: number;
  readonly expect: {
    readonly offsets: readonly number[] | "forms";
    readonly kind?: string;
    readonly entry?: string;
    readonly checkpoints?: number;
    readonly error?: string;
    /** How many bundles are read from the first one on. */
    readonly bundles?: number;
  };
}

/** A private key for tests, derived from its name. */
function keyOf(name: string) {
  const seed = sha256(encodeUtf8(name));
  const der = Uint8Array.of(...HEAD, ...seed);
  const key = createPrivateKey({ key: Buffer.from(der), format: "der", type: "pkcs8" });
  const { x = "" } = createPublicKey(key).export({ format: "jwk" });
  const is_witness = NAMES[name] === undefined;
  const raw = Uint8Array.fromBase64(x, { alphabet: "base64url" });
  return { key, verifier: verifierOf(NAMES[name] ?? name, raw, is_witness) };
}
/** The beginning of PKCS #8 of an Ed25519 key, up to its seed (RFC 8410). */
const HEAD = [48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 112, 4, 34, 4, 32];

/** A signature line: by "NAME", "NAME cut" with half of it, or "NAME of another" text. */
function line(text: string, who: string): string {
  const [name = "", how] = who.split(/ (.*)/);
  const { key, verifier } = keyOf(name);
  const time = verifier.is_witness ? new Uint8Array(8) : new Uint8Array();
  const head = verifier.is_witness ? "cosignature/v1\ntime 0\n" : "";
  const signed = sign(null, encodeUtf8(`${head}${text}${how === "of another" ? "!" : ""}`), key);
  const id = new Uint8Array(4);
  new DataView(id.buffer).setUint32(0, verifier.id);
  const bytes = Uint8Array.of(...id, ...time, ...how === "cut" ? signed.subarray(0, 3) : signed);
  return `— ${verifier.name} ${bytes.toBase64()}\n`;
}

const header = (name: string, value: string) => writeEnvelope({ headers: { [name]: value } });

/** Envelopes with difficult text forms; at the end headers in any order. */
const FORMS: readonly Uint8Array[] = ([
  [{ data: encodeUtf8('{"b": 1e2, "a":[null,"\\u00e9"] }'), content_type: "application/json" }],
  [{ data: encodeUtf8("{}x"), content_type: "application/json; charset=utf-8" }],
  [{ data: encodeUtf8("1".repeat(5_000)), content_type: " Application/Problem+JSON" }],
  [{ data: encodeUtf8(`${"[".repeat(97)}${"]".repeat(97)}`), content_type: "application/json" }],
  [{ data: encodeUtf8(`["${"[".repeat(97)}"]`), content_type: "application/json" }],
  [{ data: encodeUtf8("NaN"), content_type: "application/json" }],
  [{ data: encodeUtf8("\ufeff1"), content_type: "\ufeffapplication/json" }],
  [{ data: encodeUtf8('ä\u2028\u007f"\\\b\f\n\u0001/😀\ufeff'), content_type: "text/plain" }],
  [{ data: Uint8Array.of(0xff), content_type: "text/plain; x" }],
  [{ data: Uint8Array.of(0, 1, 2) }, { schema_id: "a.B" }],
  [{}, {}],
] as const).map(([event, more = {}], at) => {
  const envelope = writeEnvelope({
    room_id: "bets",
    tenant_id: "acme",
    sender_id: "änn",
    timestamp_ms: 1_795_606_200_000,
    offset: at + 1,
    trace_id: at % 2 ? "ab" : "",
    message_id: at % 3 ? "" : '"m"',
    ...at % 4 ? {} : { signature: Uint8Array.of(1, 2, 255) },
    event: { type: "t", ...event, ...more },
  });
  // In received order, except that names that are array indexes come first.
  const headers = [["z", "1"], ["10", "2"], ["a\n", "3"], ["4294967295", "4"], ["", "5"], [
    "9",
    "",
  ]];
  return Uint8Array.of(...envelope, ...headers.flatMap(([k, v]) => [...header(k!, v!)]));
});

/** A message: its envelope, and the epoch that the bus reports. */
interface SentMessage {
  readonly bytes: Uint8Array;
  readonly epoch: string;
}

const EVENT = { type: "t", schema_id: "", content_type: "application/json" };

/** "7": the message with that offset, "@b" of that epoch (default "e"), "!" another message, "#races" in that room. */
function messagesOf(text: string): readonly SentMessage[] {
  if (text === "forms") return FORMS.map((bytes) => ({ bytes, epoch: "e" }));
  const [, offset, epoch = "e", other = "", room_id = "bets"] =
    /^(\d+)(?:@(\w*))?(!?)(?:#(\w+))?$/.exec(text) ?? [];
  const of = { room_id, tenant_id: "acme", timestamp_ms: 1 };
  const write = (envelope: EnvelopeInput) => writeEnvelope({ ...of, ...envelope });
  if (offset !== undefined) {
    const event = { ...EVENT, data: encodeUtf8(`${other}`.length.toString()) };
    return [{ bytes: write({ sender_id: "ann", offset: Number(offset), event }), epoch }];
  }
  // "GAP ann": a signal from ann; "GAP 7": the SDK's replacement for that message.
  const [kind = "", by = ""] = text.split(" ");
  const place = /^\d+$/.test(by) ? { sender_id: "ann", offset: Number(by) } : { sender_id: by };
  const signal = { ...gapSignal("bets", "erased"), kind: kind as "GAP" };
  const is_signal = kind === "GAP" || kind === "UNBAN";
  const bytes = write({
    ...place,
    ...is_signal ? { signal } : { event: { ...EVENT, type: kind } },
  });
  return [{ bytes, epoch: "offset" in place ? "e" : "" }];
}

/** The entries of messages; "gap 5@b": a break of the record. */
function entriesBy(text: string): readonly string[] {
  const [, kind, broken, next = "e"] = /^([a-z]+) (\d+)(?:@(\w+))?$/.exec(text) ?? [];
  if (kind !== undefined) {
    return [JSON.stringify({ break: kind, epoch: next, offset: Number(broken) })];
  }
  return messagesOf(text).map(({ bytes, epoch }) => {
    const envelope = readEnvelope(bytes);
    const hash = toHex(sha256(encodeUtf8(encodeTextMessage(envelope))));
    return JSON.stringify({ epoch, offset: envelope.offset, sha256: hash, time_ms: 1 });
  });
}

function entriesOf(entries: Entries): Uint8Array[] {
  const names = "count" in entries
    ? [
      ...Array(entries.count).keys().map((n) => `${n + 1}${n + 1 === entries.other ? "!" : ""}`),
      ...entries.then ?? [],
    ]
    : entries;
  return names.flatMap(entriesBy).map((text) => encodeUtf8(text));
}

function filesOf(given: Entries, by: readonly string[] = ["own"]): Record<string, Uint8Array> {
  const entries = entriesOf(given);
  const edge = new Edge();
  const files: Record<string, Uint8Array> = {};
  for (const { tile, bytes } of edge.append(entries)) files[tilePath(tile)] = bytes;
  for (let index = 0; index * TILE_WIDTH < entries.length; index++) {
    const some = entries.slice(index * TILE_WIDTH, (index + 1) * TILE_WIDTH);
    files[tilePath({ level: "entries", index, width: some.length })] = encodeBundle(some);
  }
  const text = encodeCheckpoint({ origin: ORIGIN, size: entries.length, root: edge.root() });
  files.checkpoint = encodeUtf8(`${text}\n${by.map((who) => line(text, who)).join("")}`);
  return files;
}

function logOf(log: Log): unknown {
  if (log === "none") return { files: {}, refusals: 0 };
  const is_bare = Array.isArray(log) || "count" in log;
  const { entries, by, damaged, cut, refusals = 0 } =
    (is_bare ? { entries: log } : log) as ServedLog;
  const files = filesOf(entries, by);
  for (const path of [damaged, cut]) {
    if (path !== undefined) files[path]![files[path]!.length - 1]! ^= 1;
  }
  if (cut !== undefined) files[cut] = files[cut]!.subarray(0, -1);
  const shown = Object.entries(files).map(([path, bytes]) => [path, toHex(bytes)]);
  return { files: Object.fromEntries(shown), refusals };
}

const textOf = (verifier: Verifier) => encodeVerifier(verifier);

/** The cases in the form for runners. */
export function proofCases(cases: readonly ProofCase[]): Plain[] {
  return cases.map(({ name, logs, messages, vkeys = ["own"], checkpoint, expect, ...more }) => {
    const { offsets, entry, ...rest } = expect;
    return {
      name,
      options: {
        vkeys: vkeys.map((one) => textOf(keyOf(one).verifier)),
        witnesses: (more.witnesses ?? []).map((one) => textOf(keyOf(one).verifier)),
        quorum: more.quorum ?? null,
        checkpoint: checkpoint === undefined
          ? null
          : new TextDecoder().decode(filesOf(checkpoint).checkpoint),
        complete: more.complete ?? true,
        wait_ms: more.wait_ms ?? WAIT_MS,
      },
      logs: logs.map(logOf),
      messages: messages.flatMap(messagesOf).map(({ bytes, epoch }) => ({
        hex: toHex(bytes),
        epoch,
      })),
      expect: {
        ...rest,
        offsets: offsets === "forms" ? FORMS.map((_, at) => at + 1) : offsets,
        ...entry === undefined ? {} : { entry: entriesBy(entry)[0] },
      },
    };
  });
}
