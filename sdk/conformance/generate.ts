/**
 * Prints all vectors, including those generated from `cases/`, as one JSON object by file name, for runners of any
 * language: `deno run --allow-read sdk/conformance/generate.ts`.
 */
import { encodePresenceLeave, encodePresenceUpdate } from "@arqon/proto";
import { connectionCases, type DeltaCases, diffCases } from "./delta_cases.ts";
import { encodeFrame, type Plain, toHex } from "./plain.ts";
import { type ProofCase, proofCases } from "./proof_cases.ts";

const FOLDER = new URL("./vectors/", import.meta.url);
const REGISTRY = new URL("../../proto/errors.json", import.meta.url);

/** The part of proto/errors.json for clients. */
interface Registry {
  readonly errors: readonly { number: number; code: number; name: string; client: string }[];
}

/** The sources of frames.json, by case. */
interface FrameCases {
  /** Frames that a client accepts, in readable form. */
  readonly server: Readonly<Record<string, Plain>>;
  /** Unusual encodings in hex that a client accepts, perhaps without the message, with their meaning. */
  readonly lenient: Readonly<Record<string, readonly [hex: string, expect: Plain]>>;
  /** Invalid frames in hex: a client closes, and does not reconnect. */
  readonly refused: Readonly<Record<string, string>>;
  /** Operations of clients. */
  readonly client: Readonly<Record<string, Plain>>;
}

/** A member by its id, or with its unusual fields. */
type CaseMember = string | Plain;

/** A Shield's frame; a step with none of the three is in the form of the vectors. */
interface PresenceStep {
  readonly ack?: readonly CaseMember[];
  readonly update?: readonly CaseMember[];
  readonly leave?: readonly CaseMember[];
  readonly users?: number;
  readonly pages?: number;
  readonly snapshot?: true;
  readonly next?: true;
}

interface PresenceCase {
  readonly name: string;
  readonly steps: readonly PresenceStep[];
  readonly expect: {
    readonly members: readonly CaseMember[];
    readonly users: number;
    readonly complete?: false;
  };
}

/** Texts, and a diff in hex; null: no result. */
type VcdiffCase = [
  name: string,
  base: string,
  diff: string,
  made: string | null,
  bytes_max?: number,
];

/** A refusal on the wire, with the reason and other members that a client must report. */
type RefusalCase = [
  name: string,
  refusal: { retry_after_ms?: number },
  reason: string,
  more?: Plain,
];

function casesOf<Cases>(file: string): Cases {
  return JSON.parse(Deno.readTextFileSync(new URL(`./cases/${file}`, import.meta.url)));
}

function frames(): unknown {
  const cases = casesOf<FrameCases>("frames.json");
  const server = { direction: "server" }, client = { direction: "client" };
  return {
    about:
      "Frames of arqon.v1. server: bytes and what a client makes of them; client: an operation and its exact bytes.",
    cases: [
      ...Object.entries(cases.server).map(([name, expect]) => (
        { name, ...server, hex: toHex(encodeFrame(expect)), expect }
      )),
      ...Object.entries(cases.lenient).map(([name, [hex, expect]]) => (
        { name, ...server, hex, canonical: false, expect }
      )),
      ...Object.entries(cases.refused).map(([name, hex]) => (
        { name, ...server, hex, expect: { kind: "refused" } }
      )),
      ...Object.entries(cases.client).map(([name, operation]) => (
        { name, ...client, operation, hex: toHex(encodeFrame(operation)) }
      )),
    ],
  };
}

/** The metadata of members that a case names only by id; others have none. */
const META: Plain = { b: { n: 1 }, c: "text", d: [1] };

function memberOf(member: string | Plain) {
  const { id, ...given } = typeof member === "string" ? { id: member } : member;
  const known = {
    connection_id: String(id),
    user_id: `user-${id}`,
    meta: META[String(id)] ?? null,
  };
  return { ...known, joined_ms: 1, ...given };
}

function presenceStep(step: PresenceStep): unknown {
  const members = (step.ack ?? step.update ?? step.leave)?.map(memberOf);
  if (members === undefined) return step;
  const { users = members.length, snapshot, pages = 1 } = step;
  const { next } = step;
  if (step.ack !== undefined) return { ack: { members, connections: users, users, pages }, next };
  const wire = members.map(({ meta, ...rest }) => (
    { ...rest, meta: meta === null ? "" : JSON.stringify(meta) }
  ));
  const change = { members: wire, connections: users, users };
  if (step.leave !== undefined) {
    const hex = toHex(encodePresenceLeave(change));
    return { event: "PRESENCE_LEAVE", hex, says: step };
  }
  const hex = toHex(encodePresenceUpdate({ ...change, snapshot: snapshot ?? false }));
  return { event: "PRESENCE_UPDATE", hex, says: { ...step, update: members } };
}

function presence(): unknown {
  return {
    about:
      "Who is in a room after what a Shield said. Steps: ack (JSON of the ACK to SUB; next: of the Shield to which the client has just moved), event (data as hex; says: the same to read), lost (the connection ended).",
    cases: casesOf<PresenceCase[]>("presence.json").map(({ name, steps, expect }) => {
      const { members, users, complete = true } = expect;
      const then = { members: members.map(memberOf), users, complete };
      return { name, steps: steps.map(presenceStep), expect: then };
    }),
  };
}

/** The default limit of a diff's output. */
const DIFF_BYTES_MAX = 16_777_216;

function vcdiffCases(): unknown[] {
  const hexOf = (text: string) => toHex(new TextEncoder().encode(text));
  return casesOf<VcdiffCase[]>("vcdiff.json").map((
    [name, base, diff, made, bytes_max = DIFF_BYTES_MAX],
  ) => ({
    name: `VCDIFF: ${name}`,
    kind: "vcdiff",
    base: hexOf(base),
    diff,
    bytes_max,
    expect: made === null ? null : hexOf(made),
  }));
}

function deltas(): unknown {
  const cases = casesOf<DeltaCases>("deltas.json");
  return {
    about:
      "Messages as diffs. diff (Fossil) and vcdiff: base, diff and the data that it makes, null when it is refused; connection: what a client sends (sub with delta and delta_bytes, unsub) and hears (hex), and what its program then gets; bytes_max: what it keeps of all rooms.",
    cases: [...diffCases(cases), ...vcdiffCases(), ...connectionCases(cases)],
  };
}

/** A client's action after a refusal, by the word of the registry. */
function reactionOf(client: string): unknown {
  return { client, reconnect: client !== "never-retry", fresh_token: client === "refresh-token" };
}

function proofs(): unknown {
  return {
    about:
      "Messages of room bets of tenant acme beside its transparency log, at one time after another: logs[n] is served when the message n is handed to the verifier, the last one from then on.",
    cases: proofCases(casesOf<ProofCase[]>("proofs.json")),
  };
}

function errors(registry: Registry): unknown {
  const rows = registry.errors.map(({ number, code, name, client }) => (
    { name, kind: "reason", number, code, expect: reactionOf(client) }
  ));
  const clients = new Map(registry.errors.map(({ name, client }) => [name, client]));
  const wire = casesOf<RefusalCase[]>("refusals.json").map(([name, refusal, reason, more]) => {
    const { retry_after_ms = 0 } = refusal;
    const reaction = reactionOf(clients.get(reason) ?? "") as object;
    const expect = { reason, retry_after_ms, ...more, ...reaction };
    return { name, kind: "wire", refusal, expect };
  });
  return {
    about:
      "What a client does after each refusal. reason: every row of proto/errors.json, when it refuses a connection; wire: an ACK or ERR and the reason it stands for.",
    cases: [...rows, ...wire],
  };
}

/** Every file of vectors by name, as JSON on one line, for runners. */
export function vectorsText(): string {
  const registry = JSON.parse(Deno.readTextFileSync(REGISTRY)) as Registry;
  const files: Record<string, unknown> = {
    "deltas.json": deltas(),
    "errors.json": errors(registry),
    "frames.json": frames(),
    "presence.json": presence(),
    "proofs.json": proofs(),
  };
  for (const { name } of Deno.readDirSync(FOLDER)) {
    files[name] = JSON.parse(Deno.readTextFileSync(new URL(name, FOLDER)));
  }
  return JSON.stringify(Object.fromEntries(Object.entries(files).sort()));
}

if (import.meta.main) console.log(vectorsText());
