/**
 * The keys that sign checkpoints: one of a file for all trees, or one for each tenant, made at first use and kept in
 * the bus. A private key is in the answer of nothing.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, sign } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { readSecret, SecretProblem } from "../../shared/process/secret_file.ts";
import { PROOF_KEYS_BUCKET } from "../../shared/proof/entry.ts";
import { verifierOf } from "../../shared/proof/note.ts";
import type { Signer } from "../../shared/proof/note.ts";
import { changeDocument } from "../../shared/spine/contract/compare_and_set.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";

const DER = { format: "der", type: "pkcs8" } as const;

function ed25519In(pem: string): KeyObject {
  const key = createPrivateKey(pem);
  if (key.asymmetricKeyType === "ed25519") return key;
  throw new SecretProblem("is no Ed25519 key");
}

/** Reads the key of `[proof] key_file`. Throws a ConfigError; undefined: there is none. */
export function readProofKey(
  path: string | undefined,
  read: (path: string) => string,
): KeyObject | undefined {
  if (path === undefined) return undefined;
  return readSecret(read, { key: "proof.key_file", path }, ed25519In);
}

/** The keys of a process. */
export class ProofKeys {
  readonly #spine: Pick<Spine, "keyValue">;
  readonly #own: KeyObject | undefined;
  readonly #known = new Map<string, Promise<KeyObject>>();

  /** `own`: signs everything. */
  constructor(spine: Pick<Spine, "keyValue">, own: KeyObject | undefined) {
    this.#spine = spine;
    this.#own = own;
  }

  /** What signs as `name` for the owner of a tree. Rejects as the Spine does. */
  async signer(owner: string, name: string): Promise<Signer> {
    const key = this.#own ?? await this.#keyOf(owner);
    const { x = "" } = createPublicKey(key).export({ format: "jwk" });
    const public_key = Uint8Array.fromBase64(x, { alphabet: "base64url" });
    return {
      ...verifierOf(name, public_key),
      sign: (text) => Promise.resolve(new Uint8Array(sign(null, text, key))),
    };
  }

  #keyOf(owner: string): Promise<KeyObject> {
    const known = this.#known.get(owner);
    if (known !== undefined) return known;
    const opening = this.#open(owner);
    this.#known.set(owner, opening);
    opening.catch(() => this.#known.delete(owner));
    return opening;
  }

  async #open(owner: string): Promise<KeyObject> {
    const bucket = await this.#spine.keyValue(PROOF_KEYS_BUCKET, { unwatched: true });
    return await changeDocument(async (mayLose) => {
      const stored = await bucket.get([owner]);
      if (stored !== undefined) {
        return createPrivateKey({ ...DER, key: new Uint8Array(stored.value) as never });
      }
      const { privateKey } = generateKeyPairSync("ed25519");
      const bytes = new Uint8Array(privateKey.export(DER));
      await mayLose(bucket.update([owner], bytes, 0));
      return privateKey;
    });
  }
}
