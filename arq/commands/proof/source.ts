/** Where `arq proof` reads a tree from: a bus, any server of tiles, or a folder; and which key must have signed it. */
import { ArqonError, decodeVerifier, decodeWitness, jsonMembers } from "@arqon/proto";
import { openCheckpoint, openCosigned, strictText } from "@arqon/proto";
import type { Checkpoint, Verifier } from "@arqon/proto";
import { AUDIT_TREE, blockTreeOf } from "../../../shared/proof/entry.ts";
import { type TreeFiles, TreeReader } from "../../../shared/proof/reader.ts";
import { type Answered, askPatiently } from "../../../sdk/typescript/proof/patient.ts";
import { findTarget, givenToken, noBus } from "../../bus/target.ts";
import type { Flags } from "../../program/flags.ts";
import { CommandError, EXIT, usageError, whyOf } from "../../terminal/exit.ts";
import { type Io, print, resolvePath, sleep } from "../../terminal/io.ts";
import { pause } from "../../../shared/within.ts";
import { fileChunks } from "../../replay/bus_replay.ts";

/** The source of a tree. */
export interface ProofSource {
  readonly files: TreeFiles;
  /** Whether it is a folder, which does not change. */
  readonly is_still?: boolean;
  /** Of a room on a bus, with a token: its history from above an offset, as the bus's text; undefined: it has none. */
  readonly history?: (after: number) => Promise<string>;
}

/** The maximum wait for a file with a retry time. */
const WAIT_MS = 30_000;
/** The most readings of a checkpoint until it has its cosignatures, and the pause between them. */
const COSIGNED_LOOKS = 5;
const COSIGNED_MS = 1_000;
/** The most members of an ACK that are read. */
const ACK_MEMBERS = 100;

/** The whole body of an answer; retries after a retry time. Throws the refusal. With a body of JSON it is a POST. */
async function fetched(
  io: Io,
  url: string,
  token: string | undefined,
  body?: string,
): Promise<Uint8Array> {
  const headers = {
    ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
    ...(body === undefined ? {} : { "content-type": "application/json" }),
  };
  const init = { headers, body: body ?? null, method: body === undefined ? "GET" : "POST" };
  let answered: Answered;
  try {
    answered = await askPatiently(
      (signal) => fetch(url, { ...init, signal }),
      WAIT_MS,
      async (delay_ms) => void await pause(delay_ms, io.signal),
      io.signal,
    );
  } catch (error) {
    io.signal.throwIfAborted();
    throw new ArqonError("unreachable", `${url}: ${whyOf(error)}`);
  }
  const { answer, bytes, waited } = answered;
  if (answer.ok) return bytes;
  const text = new TextDecoder().decode(bytes.subarray(0, 1_000));
  const is_refused = answer.status === 401 || answer.status === 403;
  throw new CommandError(
    `${url}: HTTP ${answer.status} ${text}${waited}`,
    is_refused ? EXIT.refused : EXIT.failure,
  );
}

/** The source of an operand: an address, a tree of the bus (`acme.bets`, `audit`, `journal@acme`), or a folder. */
export async function openSource(io: Io, place: string, flags: Flags): Promise<ProofSource> {
  const given = await givenToken(io, flags);
  if (/^https?:\/\//.test(place)) {
    const url = place.replace(/\/+$/, "");
    return { files: (path) => fetched(io, `${url}/${path}`, given) };
  }
  const is_record = place === AUDIT_TREE || blockTreeOf(place) !== undefined;
  if (!is_record && !/^[A-Za-z0-9_~:=-]+\.[A-Za-z0-9_~:=-]+$/.test(place)) {
    const folder = resolvePath(io.cwd, place);
    return {
      is_still: true,
      files: (path) =>
        io.files.read(`${folder}/${path}`).catch((error: unknown) => {
          throw new CommandError(`${path}: ${whyOf(error)}`);
        }),
    };
  }
  const target = await findTarget(io, flags);
  const address = flags.url ?? target?.url;
  if (address === undefined) throw noBus(io);
  const origin = new URL(address.includes("://") ? address : `ws://${address}`).origin
    .replace(/^ws/, "http");
  const token = given ?? await target?.token(is_record ? "admin" : "user");
  const files: TreeFiles = (path) => fetched(io, `${origin}/v1/proof/${place}/${path}`, token);
  // A public log needs no token, its room's messages do.
  if (is_record || token === undefined) return { files };
  const [tenant_id = "", room = ""] = place.split(".");
  // A command names its tenant: with a token of another one it is refused, and not about that one's room.
  const history = async (after: number) => {
    const asked = { name: "history.get", tenant_id, data: { after, limit: 1_000 } };
    const url = `${origin}/v1/rooms/${room}/commands`;
    const ack = new TextDecoder().decode(await fetched(io, url, token, JSON.stringify(asked)));
    const { start, end } = jsonMembers(ack, 0, ACK_MEMBERS, () => unlike(url)).get("result") ??
      unlike(url);
    return ack.slice(start, end);
  };
  return { files, history };
}

function unlike(url: string): never {
  throw new CommandError(`${url} answers, but not like an ArqonBus`);
}

/** The text of exactly these bytes of a file: bytes that are none would pass for others. */
function exactText(file: string, bytes: Uint8Array): string {
  try {
    return strictText(bytes);
  } catch {
    throw new CommandError(`${file}: not UTF-8`);
  }
}

/** The lines of a file. */
export async function* linesOf(io: Io, file: string): AsyncGenerator<string> {
  for await (const { bytes } of await fileChunks(io, file)) {
    yield* exactText(file, bytes).split("\n").filter((line) => line.trim() !== "");
  }
}

/** The text of a file. */
export const textIn = async (io: Io, file: string): Promise<string> =>
  exactText(file, await io.files.read(resolvePath(io.cwd, file)));

/** The verifiers of `--vkey`. Throws for a text that is none. */
export const verifiersIn = (vkeys: readonly string[]): Verifier[] =>
  vkeys.map((vkey) => {
    const verifier = decodeVerifier(vkey);
    if (verifier !== undefined) return verifier;
    throw usageError("--vkey: expected NAME+ID+KEY, as arq proof key prints");
  });

/** A source without its own key. */
export const noKey: TreeFiles = () =>
  Promise.reject(usageError("this file has no key: give --vkey"));

/** The keys of the option; without one the source's own keys, which prove nothing about the source. */
export async function verifiersFor(
  io: Io,
  { files }: Pick<ProofSource, "files">,
  { vkey: keys }: Flags,
): Promise<Verifier[]> {
  if (keys !== undefined) return verifiersIn(keys);
  const verifiers = verifiersIn(new TextDecoder().decode(await files("key")).trim().split("\n"));
  const warning = "the key comes from this source itself: give --vkey with a trusted key\n";
  await print(io.stderr, warning);
  return verifiers;
}

/** Runs `work`, which reads a tree; an invalid tree is a failure of the command. */
export async function evident<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof CommandError || error instanceof ArqonError) throw error;
    throw new CommandError(`the log was changed or is incomplete: ${whyOf(error)}`);
  }
}

/** Opens a checkpoint signed by one of the keys and by the required witnesses. */
export async function openNote(
  note: string,
  verifiers: readonly Verifier[],
  flags: Flags,
): Promise<Checkpoint> {
  const { witnesses, quorum } = wantedBy(flags);
  const { checkpoint, by } = await openCosigned(note, verifiers, witnesses);
  if (by.length >= (quorum ?? witnesses.length)) return checkpoint;
  throw new CommandError(
    quorum === undefined
      ? `${witnesses.find((one) => !by.includes(one))?.name} has not cosigned the checkpoint`
      : `${by.length} of ${witnesses.length} witnesses have cosigned the checkpoint`,
  );
}

/** The witnesses that the options name, and how many of them are required. */
function wantedBy({ witness = [], quorum }: Flags) {
  const witnesses = [...new Set(witness)].map((vkey) => {
    const verifier = decodeWitness(vkey);
    if (verifier !== undefined) return verifier;
    throw usageError("--witness: expected NAME+ID+KEY, as arq proof witness prints");
  });
  if ((quorum ?? 0) <= witnesses.length) return { witnesses, quorum };
  throw usageError(`--quorum: expected up to ${witnesses.length}, the number of --witness`);
}

/** Opens a tree by its newest checkpoint. */
export async function openTree(
  io: Io,
  source: ProofSource,
  flags: Flags,
): Promise<{ readonly tree: TreeReader; readonly verifiers: readonly Verifier[] }> {
  const verifiers = await verifiersFor(io, source, flags);
  wantedBy(flags);
  for (let look = 1;; look++) {
    const tree = await evident(() => TreeReader.open(source.files, ...verifiers));
    try {
      await openNote(tree.note, verifiers, flags);
      return { tree, verifiers };
    } catch (error) {
      // Witnesses sign after the publication.
      if (look === COSIGNED_LOOKS || source.is_still) throw error;
      await sleep(COSIGNED_MS, io.signal);
    }
  }
}

/** A checkpoint that was kept in a file, which the tree must continue, and the proof that it does. */
export async function continued(
  io: Io,
  path: string,
  { tree, verifiers }: Awaited<ReturnType<typeof openTree>>,
): Promise<{ readonly old: Checkpoint; readonly proof: readonly Uint8Array[] }> {
  let old: Checkpoint;
  try {
    old = await openCheckpoint(await textIn(io, path), ...verifiers);
  } catch (error) {
    throw new CommandError(`${path}: ${whyOf(error)}`);
  }
  return { old, proof: await evident(() => tree.continues(old)) };
}
