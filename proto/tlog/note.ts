/**
 * Signed notes and checkpoints (c2sp.org/signed-note, tlog-checkpoint and tlog-cosignature): a text, and lines with
 * Ed25519 signatures of it by named keys.
 */
import { decodeBase64, encodeBase64 } from "../text/base64.ts";
import { HASH_BYTES, type TreeHead } from "./merkle.ts";
import { sha256 } from "./sha256.ts";

const utf8 = /* @__PURE__ */ new TextEncoder();
const ED25519 = 1;
/** The type of a witness's key: its signature contains the time. */
const COSIGNATURE = 4;
const TIME_BYTES = 8;
/** The longest note in bytes, and the most signature lines. */
const NOTE_BYTES_MAX = 65_536;
const SIGNATURES_MAX = 64;
const UNSIGNED = "no known key has signed it";

/** A public key for the verification of signatures. */
export interface Verifier {
  readonly name: string;
  /** 32 bits. */
  readonly id: number;
  readonly public_key: Uint8Array;
  /** Whether it is a witness's key, whose signatures are cosignatures. */
  readonly is_witness: boolean;
}

/** A private key. */
export interface Signer extends Verifier {
  sign(text: Uint8Array): Promise<Uint8Array>;
}

/** Whether a text is a valid name of a key. */
export const isKeyName = (name: string): boolean => /^[^\s+\p{Cc}]+$/u.test(name);

const kindOf = ({ is_witness }: Pick<Verifier, "is_witness">) =>
  Uint8Array.of(is_witness ? COSIGNATURE : ED25519);

/** The verifier of a public Ed25519 key with that name. */
export function verifierOf(name: string, public_key: Uint8Array, is_witness = false): Verifier {
  if (!isKeyName(name)) throw new TypeError(`not a key name: ${JSON.stringify(name)}`);
  const named = utf8.encode(`${name}\n`);
  const [a = 0, b = 0, c = 0, d = 0] = sha256(
    Uint8Array.of(...named, ...kindOf({ is_witness }), ...public_key),
  );
  return { name, id: (a << 24 | b << 16 | c << 8 | d) >>> 0, public_key, is_witness };
}

const hexId = (id: number) => id.toString(16).padStart(8, "0");

/** A verifier as text: `NAME+ID+KEY`. */
export const encodeVerifier = (verifier: Verifier): string =>
  `${verifier.name}+${hexId(verifier.id)}+${
    encodeBase64(Uint8Array.of(...kindOf(verifier), ...verifier.public_key))
  }`;

/** The verifier of such a text; undefined for any other text. */
export function decodeVerifier(text: string): Verifier | undefined {
  const [, name = "", id = "", key = ""] = /^([^+]+)\+([0-9a-f]{8})\+(\S+)$/.exec(text) ?? [];
  const bytes = fromBase64(key);
  const is_known = bytes?.[0] === ED25519 || bytes?.[0] === COSIGNATURE;
  if (!isKeyName(name) || bytes?.length !== 33 || !is_known) return undefined;
  const verifier = verifierOf(name, bytes.slice(1), bytes[0] === COSIGNATURE);
  return hexId(verifier.id) === id ? verifier : undefined;
}

/** The verifier of a witness's key, also in the form of any Ed25519 key; undefined for any other text. */
export function decodeWitness(text: string): Verifier | undefined {
  const verifier = decodeVerifier(text);
  return verifier && verifierOf(verifier.name, verifier.public_key, true);
}

/** A witness's signer: `sign` uses its key, and `now` returns Unix ms. */
export function cosigner(
  { name, public_key, sign }: Pick<Signer, "name" | "public_key" | "sign">,
  now: () => number,
): Signer {
  const signTimed = async (text: Uint8Array) => {
    const time = new Uint8Array(TIME_BYTES);
    new DataView(time.buffer).setBigUint64(0, BigInt(Math.floor(now() / 1_000)));
    return Uint8Array.of(...time, ...await sign(cosigned(time, text)));
  };
  return { ...verifierOf(name, public_key, true), sign: signTimed };
}

/** The text that a witness signs at that time. */
function cosigned(time: Uint8Array, text: Uint8Array): Uint8Array {
  const seconds = new DataView(time.buffer, time.byteOffset).getBigUint64(0);
  return Uint8Array.of(...utf8.encode(`cosignature/v1\ntime ${seconds}\n`), ...text);
}

/** Decodes canonical base64. */
function fromBase64(text: string): Uint8Array | undefined {
  const bytes = decodeBase64(text);
  return bytes !== undefined && encodeBase64(bytes) === text ? bytes : undefined;
}

/** The note of a text, which ends in a newline, with the signature of each signer. */
export async function signNote(text: string, signers: readonly Signer[]): Promise<string> {
  const bytes = utf8.encode(text);
  let note = `${text}\n`;
  for (const { name, id, sign } of signers) {
    const signature = await sign(bytes);
    const line = new Uint8Array(4 + signature.length);
    new DataView(line.buffer).setUint32(0, id);
    line.set(signature, 4);
    note += `— ${name} ${encodeBase64(line)}\n`;
  }
  return note;
}

/** The signed text, and the verifiers that have signed it, with their lines. Throws an Error that names the problem. */
export async function openNote(note: string, verifiers: readonly Verifier[]): Promise<
  { readonly text: string; readonly by: readonly Verifier[]; readonly lines: readonly string[] }
> {
  const split = note.lastIndexOf("\n\n");
  // deno-lint-ignore no-control-regex
  if (note.length > NOTE_BYTES_MAX || split < 0 || /[\x00-\x09\x0b-\x1f]/.test(note)) {
    throw new Error("it is no signed note");
  }
  const text = note.slice(0, split + 1);
  const lines = note.slice(split + 2).split("\n");
  if (lines.pop() !== "" || lines.length > SIGNATURES_MAX) throw new Error("it is no signed note");
  const by: Verifier[] = [];
  const own: string[] = [];
  for (const line of lines) {
    const [, name = "", encoded = ""] = /^— (\S+) (\S+)$/.exec(line) ?? [];
    const bytes = fromBase64(encoded);
    if (name === "" || bytes === undefined || bytes.length < 5) {
      throw new Error("one of its signature lines is none");
    }
    const id = new DataView(bytes.buffer, bytes.byteOffset).getUint32(0);
    const verifier = verifiers.find((one) => one.name === name && one.id === id);
    if (verifier === undefined || by.includes(verifier)) continue;
    if (!await isSignature(verifier, text, bytes.slice(4))) {
      throw new Error(`the signature of ${name} is not of this text`);
    }
    by.push(verifier);
    own.push(`${line}\n`);
  }
  if (by.length === 0) throw new Error(UNSIGNED);
  return { text, by, lines: own };
}

/** The witnesses that have cosigned a note; none for a text that is not a note. */
export async function cosignersOf(
  note: string,
  witnesses: readonly Verifier[],
): Promise<readonly Verifier[]> {
  // Text that is not a note has no cosigners.
  return (await openNote(note, witnesses).catch(() => ({ by: [] }))).by;
}

async function isSignature(verifier: Verifier, text: string, signed: Uint8Array) {
  const bytes = (array: Uint8Array) => new Uint8Array(array);
  const { public_key, is_witness } = verifier;
  if (is_witness && signed.length < TIME_BYTES) return false;
  const [message, signature] = is_witness
    ? [cosigned(signed.slice(0, TIME_BYTES), utf8.encode(text)), signed.slice(TIME_BYTES)]
    : [utf8.encode(text), signed];
  const key = await crypto.subtle.importKey("raw", bytes(public_key), "Ed25519", false, ["verify"]);
  return await crypto.subtle.verify("Ed25519", key, bytes(signature), bytes(message));
}

/** The content of a checkpoint: the tree of an origin. */
export interface Checkpoint extends TreeHead {
  readonly origin: string;
}

/** The text to sign. */
export const encodeCheckpoint = ({ origin, size, root }: Checkpoint): string =>
  `${origin}\n${size}\n${encodeBase64(root)}\n`;

/** Parses the text of a checkpoint. Throws an Error for any other text. */
export function decodeCheckpoint(text: string): Checkpoint {
  const [, origin = "", size = "", hash = ""] =
    /^([^\n]+)\n(0|[1-9]\d{0,15})\n([^\n]+)\n(?:[^\n]+\n)*$/.exec(text) ?? [];
  const root = fromBase64(hash);
  if (root?.length !== HASH_BYTES || !Number.isSafeInteger(Number(size))) {
    throw new Error("it is no checkpoint");
  }
  return { origin, size: Number(size), root };
}

/** A checkpoint signed by one of a log's keys, whose name is the checkpoint's origin. Throws an Error. */
export const openCheckpoint = async (
  note: string,
  ...verifiers: readonly Verifier[]
): Promise<Checkpoint> => (await openCosigned(note, verifiers, [])).checkpoint;

/** Such a checkpoint, and the witnesses that have cosigned it. Throws an Error. */
export async function openCosigned(
  note: string,
  verifiers: readonly Verifier[],
  witnesses: readonly Verifier[],
): Promise<{ readonly checkpoint: Checkpoint; readonly by: readonly Verifier[] }> {
  const { text, by } = await openNote(note, [...verifiers, ...witnesses]);
  const signed = by.filter((one) => verifiers.includes(one));
  if (signed.length === 0) throw new Error(UNSIGNED);
  const checkpoint = decodeCheckpoint(text);
  const wrong = signed.find(({ name }) => name !== checkpoint.origin);
  if (wrong !== undefined) throw new Error(`it is of ${checkpoint.origin}, not of ${wrong.name}`);
  return { checkpoint, by: by.filter((one) => witnesses.includes(one)) };
}

const PROOF_HEAD = "c2sp.org/tlog-proof@v1";

/** The inclusion proof of an entry, as in a `.tlog-proof` file. */
export interface EntryProof {
  readonly index: number;
  readonly hashes: readonly Uint8Array[];
  /** The signed note. */
  readonly checkpoint: string;
  /** The content of the entry, which only the proof verifies. */
  readonly extra?: Uint8Array | undefined;
}

/** The text of a `.tlog-proof` file. */
export function encodeProof({ index, hashes, checkpoint, extra }: EntryProof): string {
  const lines = [
    PROOF_HEAD,
    ...(extra === undefined ? [] : [`extra ${encodeBase64(extra)}`]),
    `index ${index}`,
    ...hashes.map(encodeBase64),
  ];
  return `${lines.join("\n")}\n\n${checkpoint}`;
}

/** Parses such a file. Throws an Error for any other text. */
export function decodeProof(text: string): EntryProof {
  const [, extra, index = "", hashes = "", checkpoint = ""] =
    /^c2sp\.org\/tlog-proof@v1\n(?:extra (\S+)\n)?index (0|[1-9]\d{0,15})\n((?:\S+\n)*)\n([^]+)$/
      .exec(text) ?? [];
  const path = hashes.split("\n").slice(0, -1).map(fromBase64);
  const extra_bytes = extra === undefined ? undefined : fromBase64(extra);
  const is_whole = index !== "" && (extra === undefined) === (extra_bytes === undefined);
  if (!is_whole || path.some((hash) => hash?.length !== HASH_BYTES)) {
    throw new Error("it is no c2sp.org/tlog-proof@v1");
  }
  return { index: Number(index), hashes: path as Uint8Array[], checkpoint, extra: extra_bytes };
}
