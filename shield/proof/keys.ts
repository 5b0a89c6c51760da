/**
 * The keys that sign checkpoints: those of a file for all trees, or of each tenant, made at first use and kept in the
 * bus. Both are PEM, the newest first: private keys sign, and public keys check their signatures. No answer contains a
 * private key.
 */
import { ArqonError, type Signer, type Verifier, verifierOf } from "@arqon/proto";
import { pemKey } from "../../shared/proof/signing.ts";
import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { RecentMap } from "../../shared/containers/recent_map.ts";
import { readSecret, SecretProblem } from "../../shared/process/secret_file.ts";
import { PROOF_KEYS_BUCKET } from "../../shared/proof/entry.ts";
import { changeDocument } from "../../shared/spine/contract/compare_and_set.ts";
import type { KeyValue, Spine } from "../../shared/spine/contract/spine.ts";

/** The logs whose keys are cached: reading keys takes longer than signing. */
const LOGS_MAX = 10_000;
/** The keys of a tenant that sign. Older ones only check. */
const SIGNING = 2;
const KEYS_MAX = 64;
const BLOCK = /-----BEGIN (PRIVATE|PUBLIC) KEY-----[^-]+-----END \1 KEY-----/g;
const PRIVATE_PEM = { format: "pem", type: "pkcs8" } as const;

/** The keys of one log, the newest first. */
export interface LogKeys {
  /** Each signs every checkpoint. */
  readonly signers: readonly Signer[];
  /** They, and those that have signed earlier. */
  readonly verifiers: readonly Verifier[];
}

const blocksIn = (pem: string) => [...pem.matchAll(BLOCK)].map(([block]) => block);

const publicPem = (block: string) =>
  createPublicKey(block).export({ format: "pem", type: "spki" }).toString();

/** The keys of PEM blocks; they sign as `name`. Throws a SecretProblem. */
function keysIn(pem: string, name: string): LogKeys {
  const signers: Signer[] = [];
  const verifiers = blocksIn(pem).map((block) => {
    const key = pemKey(block, name);
    if (key === undefined) throw new SecretProblem("is not an Ed25519 key");
    if ("sign" in key) signers.push(key);
    return verifierOf(name, key.public_key);
  });
  if (signers.length === 0) throw new SecretProblem("has no Ed25519 private key");
  return { signers, verifiers };
}

/** Reads the keys of `[proof] key_file`. Throws a ConfigError; undefined: there is none. */
export function readProofKey(
  path: string | undefined,
  read: (path: string) => string,
): string | undefined {
  if (path === undefined) return undefined;
  return readSecret(read, { key: "proof.key_file", path }, (pem) => (keysIn(pem, "file"), pem));
}

const newKey = () => generateKeyPairSync("ed25519").privateKey.export(PRIVATE_PEM).toString();

/** The keys of a process. */
export class ProofKeys {
  readonly #spine: Pick<Spine, "keyValue">;
  readonly #own: string | undefined;
  readonly #known = new RecentMap<string, { readonly pem: string; readonly keys: LogKeys }>(
    LOGS_MAX,
  );

  /** `own`: a key that signs for all owners. */
  constructor(spine: Pick<Spine, "keyValue">, own: string | undefined) {
    this.#spine = spine;
    this.#own = own;
  }

  /** The current keys that sign as `name` for the owner of a tree. Rejects as the Spine does. */
  async of(owner: string, name: string): Promise<LogKeys> {
    const pem = this.#own ?? await this.#stored(owner, (stored) => stored ?? newKey());
    const known = this.#known.get(name);
    if (known?.pem === pem) return known.keys;
    const keys = keysIn(pem, name);
    this.#known.set(name, { pem, keys });
    return keys;
  }

  /** Puts a new key before an owner's keys. The previous key also keeps signing, and older keys stop. */
  async rotate(owner: string): Promise<void> {
    if (this.#own !== undefined) {
      throw new ArqonError("invalid-settings", "the keys of [proof] key_file are in use");
    }
    await this.#stored(
      owner,
      (stored = newKey()) =>
        [
          newKey(),
          ...blocksIn(stored).map((block, at) => at < SIGNING - 1 ? block : publicPem(block)),
        ]
          .slice(0, KEYS_MAX).join("\n"),
    );
  }

  async #stored(owner: string, change: (pem: string | undefined) => string): Promise<string> {
    const bucket: KeyValue = await this.#spine.keyValue(PROOF_KEYS_BUCKET, { unwatched: true });
    return await changeDocument(async (mayLose) => {
      const stored = await bucket.get([owner]);
      const pem = stored && new TextDecoder().decode(stored.value);
      const next = change(pem);
      if (next === pem) return next;
      await mayLose(bucket.update([owner], new TextEncoder().encode(next), stored?.revision ?? 0));
      return next;
    });
  }
}
