/** Receipts: signed notes in which a log promises an entry for a message by a time; and keys that sign. Pure. */
import { createPrivateKey, createPublicKey, sign } from "node:crypto";
import { openNote, type Signer, signNote, type Verifier, verifierOf } from "@arqon/proto";
import { decodeLeaf, type RecordEntry } from "./entry.ts";

const HEAD = "arqonbus/receipt@v1";

/** A receipt: the promise that the log will have the entry. */
export interface Receipt {
  /** The name of the log, as in its checkpoints. */
  readonly origin: string;
  readonly entry: RecordEntry;
  /** Of the entry, as the log will have it. */
  readonly bytes: Uint8Array;
  /** A checkpoint after this has it, Unix ms by the bus's clock. */
  readonly by_ms: number;
}

/** The signed receipt of an entry. */
export const signReceipt = (
  { origin, bytes, by_ms }: Omit<Receipt, "entry">,
  signers: readonly Signer[],
): Promise<string> =>
  signNote(`${HEAD}\n${origin}\n${new TextDecoder().decode(bytes)}\nby ${by_ms}\n`, signers);

/** Opens a receipt signed by one of a log's keys. Throws an Error. */
export async function openReceipt(
  note: string,
  ...verifiers: readonly Verifier[]
): Promise<Receipt> {
  const { text, by } = await openNote(note, verifiers);
  const [, head, origin = "", leaf = "", by_ms] =
    /^([^\n]+)\n([^\n]+)\n([^\n]+)\nby ([1-9]\d{0,15})\n$/.exec(text) ?? [];
  const bytes = new TextEncoder().encode(leaf);
  const entry = decodeLeaf(bytes);
  const is_own = head === HEAD && by.every(({ name }) => name === origin);
  if (!is_own || entry === undefined || "break" in entry) throw new Error("it is no receipt");
  return { origin, entry, bytes, by_ms: Number(by_ms) };
}

/** A signer from a private Ed25519 key in PEM, or a verifier from a public one; undefined: not an Ed25519 key. */
export function pemKey(pem: string, name: string): Verifier | Signer | undefined {
  const { crv, x = "" } = createPublicKey(pem).export({ format: "jwk" });
  if (crv !== "Ed25519") return undefined;
  const verifier = verifierOf(name, Uint8Array.fromBase64(x, { alphabet: "base64url" }));
  if (!pem.includes("PRIVATE KEY")) return verifier;
  const key = createPrivateKey(pem);
  return { ...verifier, sign: (text) => Promise.resolve(new Uint8Array(sign(null, text, key))) };
}
