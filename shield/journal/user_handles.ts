/**
 * Names for users that name nobody: a hash under a secret of the tenant, under which a user's keys are kept. The
 * secrets are in the bucket of the keys; keys are `user_keys.ts`.
 */
import { createHmac, randomBytes } from "node:crypto";
import { BoundedMap } from "../../shared/containers/bounded_map.ts";
import { changeDocument } from "../../shared/spine/contract/compare_and_set.ts";
import type { KeyValue } from "../../shared/spine/contract/spine.ts";

const SECRET_BYTES = 32;
const HANDLE_BYTES = 16;

/** The handles of all tenants' users. */
export class UserHandles {
  readonly #bucket: Pick<KeyValue, "get" | "update">;
  readonly #secrets = new Map<string, Promise<Uint8Array>>();
  /** By tenant and user: a block asks for all of its users at once. */
  readonly #known: BoundedMap<string, string>;

  /** Remembers so many handles. */
  constructor(bucket: Pick<KeyValue, "get" | "update">, known_max: number) {
    this.#bucket = bucket;
    this.#known = new BoundedMap(known_max);
  }

  /** Rejects with `spine-unavailable` while the tenant's secret cannot be had. */
  async of(tenant_id: string, user: string): Promise<string> {
    const name = `${tenant_id} ${user}`;
    const known = this.#known.use(name);
    if (known !== undefined) return known;
    const secret = await this.#secretOf(tenant_id);
    const hash = createHmac("sha256", secret).update(user).digest().subarray(0, HANDLE_BYTES);
    const handle = hash.toBase64({ alphabet: "base64url", omitPadding: true });
    this.#known.renew(name, handle);
    return handle;
  }

  #secretOf(tenant_id: string): Promise<Uint8Array> {
    const known = this.#secrets.get(tenant_id);
    if (known !== undefined) return known;
    const asking = this.#secret(tenant_id);
    this.#secrets.set(tenant_id, asking);
    asking.catch(() => this.#secrets.delete(tenant_id));
    return asking;
  }

  #secret(tenant_id: string): Promise<Uint8Array> {
    const key = ["s", tenant_id];
    return changeDocument(async (mayLose) => {
      const found = await this.#bucket.get(key);
      if (found !== undefined) return found.value;
      const made = new Uint8Array(randomBytes(SECRET_BYTES));
      await mayLose(this.#bucket.update(key, made, 0));
      return made;
    });
  }
}
