/**
 * Stores policies: documents in the bucket `ARQON_POLICIES` under the tenant, module bytes in the object store
 * `ARQON_MODULES` under their sha256. Changes use compare-and-set, so none is lost.
 */
import { sha256Hex } from "../../../shared/sha256.ts";
import { ArqonError } from "@arqon/proto";
import { changeDocument } from "../../../shared/spine/contract/compare_and_set.ts";
import type {
  KeyValue,
  KvChange,
  KvKey,
  KvWatch,
  ObjectStore,
  Spine,
  StoredObject,
} from "../../../shared/spine/contract/spine.ts";
import { decodeRollout, isUnderWay } from "../../../shared/rollout/rollout.ts";
import { POLICIES_BUCKET, ROLLOUTS_BUCKET } from "../../../shared/records/buckets.ts";
import { documentBytes, emptyDocument, parseDocument, type PolicyDocument } from "./chain.ts";

const MODULES = "ARQON_MODULES";
const SHA256 = /^[0-9a-f]{64}$/;

/** A document and its revision; 0 if it is not stored. */
export interface StoredDocument {
  readonly document: PolicyDocument;
  readonly revision: number;
}

/** The stored policies. Every method rejects with `spine-unavailable` while the Spine does not answer. */
export class PolicyStore {
  readonly #documents: KeyValue;
  readonly #modules: ObjectStore;
  readonly #rollouts: KeyValue;

  constructor(documents: KeyValue, modules: ObjectStore, rollouts: KeyValue) {
    this.#documents = documents;
    this.#modules = modules;
    this.#rollouts = rollouts;
  }

  /** Reads the tenant's document. Rejects with `policy-conflict` if the stored bytes are not a document. */
  async read(tenant_id: string): Promise<StoredDocument> {
    const entry = await this.#documents.get([tenant_id]);
    if (entry === undefined) return { document: emptyDocument(), revision: 0 };
    const parsed = parseDocument(entry.value);
    if ("problem" in parsed) throw new ArqonError("policy-conflict", parsed.problem);
    return { document: parsed.document, revision: entry.revision };
  }

  /**
   * Writes the result of `change`, and calls it again after a conflict. Nothing is written if it returns its input.
   * Rejects as `change` throws, and with `policy-conflict`.
   */
  async change(
    tenant_id: string,
    change: (document: PolicyDocument) => PolicyDocument,
  ): Promise<StoredDocument> {
    return await changeDocument(async (mayLose) => {
      const stored = await this.read(tenant_id);
      const document = change(stored.document);
      if (document === stored.document) return stored;
      const revision = await mayLose(this.#write(tenant_id, document, stored.revision));
      return { document, revision };
    }, {
      overtaken: (attempts) =>
        new ArqonError("policy-conflict", `${attempts} conflicts with other writers`),
    });
  }

  /** Replaces an unreadable document by an empty one. Rejects with `policy-conflict` if it is readable by then. */
  async reset(tenant_id: string): Promise<StoredDocument> {
    const entry = await this.#documents.get([tenant_id]);
    if (entry === undefined || "document" in parseDocument(entry.value)) {
      throw new ArqonError("policy-conflict", "the document is readable; nothing was reset");
    }
    const document = emptyDocument();
    const write = () => this.#write(tenant_id, document, entry.revision);
    const revision = await changeDocument((mayLose) => mayLose(write()), {
      attempts: 1,
      overtaken: () => new ArqonError("policy-conflict", "somebody else changed the document"),
    });
    return { document, revision };
  }

  /**
   * Writes a document over the revision that was read. Resolves with the new revision; rejects with `version-conflict`.
   */
  replace(tenant_id: string, document: PolicyDocument, revision: number): Promise<number> {
    return this.#write(tenant_id, document, revision);
  }

  /** Watches the documents of all tenants, as `KeyValue.watch` does. */
  watch(onChange: (change: KvChange) => void): KvWatch {
    return this.#documents.watch([], onChange);
  }

  /**
   * Stores a module under its sha256, which it returns. An existing module is written again, so that its age counts
   * from now.
   */
  async putModule(bytes: Uint8Array): Promise<string> {
    const sha256 = await sha256Hex(bytes);
    await this.#modules.put(sha256, bytes);
    return sha256;
  }

  /** Stores a missing or damaged module again that something names meanwhile. */
  async keepModule(sha256: string, bytes: Uint8Array): Promise<void> {
    // A module may be stored twice.
    const there = await this.module(sha256).catch(() => undefined);
    if (there === undefined) await this.#modules.put(sha256, bytes);
  }

  /** Every stored module, whether or not something names it. Other objects in the store are ignored. */
  async modules(): Promise<StoredObject[]> {
    return (await this.#modules.list()).filter(({ name }) => SHA256.test(name));
  }

  async deleteModule(sha256: string): Promise<void> {
    await this.#modules.delete(sha256);
  }

  /**
   * The modules that a chain, a version in its history or a running rollout names. Rejects with `policy-conflict` if a
   * document cannot be read: its modules are unknown.
   */
  async named(): Promise<Set<string>> {
    const named = new Set<string>();
    for (const [tenant_id = ""] of await this.#documents.keys()) {
      const { document: { current, history } } = await this.read(tenant_id);
      for (const { policies } of [current, ...history]) {
        for (const { sha256 } of policies) named.add(sha256);
      }
    }
    for (const key of await this.#rollouts.keys()) {
      if (key.length === 1) (await this.#ofRollout(key)).forEach((sha256) => named.add(sha256));
    }
    return named;
  }

  /** The bytes of a module; undefined if it was not uploaded. Rejects with `internal` if their digest differs. */
  async module(sha256: string): Promise<Uint8Array | undefined> {
    const bytes = await this.#modules.get(sha256);
    if (bytes === undefined || await sha256Hex(bytes) === sha256) return bytes;
    const cause = new Error(`${MODULES} has other bytes under ${sha256}`);
    throw new ArqonError("internal", "", { cause });
  }

  async #ofRollout(key: KvKey): Promise<string[]> {
    const entry = await this.#rollouts.get(key);
    const decoded = entry === undefined ? undefined : decodeRollout(entry.value);
    if (decoded === undefined) return [];
    if ("problem" in decoded) throw new ArqonError("policy-conflict", decoded.problem);
    if (!isUnderWay(decoded.value)) return [];
    return decoded.value.policies.map(({ sha256 }) => String(sha256));
  }

  async #write(tenant_id: string, document: PolicyDocument, revision: number): Promise<number> {
    return await this.#documents.update([tenant_id], documentBytes(document), revision);
  }
}

/** Opens the bucket and the object store, and makes them if necessary. Rejects with `spine-unavailable`. */
export async function openPolicyStore(spine: Spine): Promise<PolicyStore> {
  const [documents, modules, rollouts] = await Promise.all([
    spine.keyValue(POLICIES_BUCKET),
    spine.objects(MODULES),
    spine.keyValue(ROLLOUTS_BUCKET),
  ]);
  return new PolicyStore(documents, modules, rollouts);
}
