/**
 * The bucket of lives: which Shields are alive and which have ended, in order or not. Opened on first use. `life.ts`
 * defines the records; `own_life.ts` writes this Shield's own.
 */
import { openOnce } from "../turns/once.ts";
import type { KeyValue, Spine } from "../spine/contract/spine.ts";
import { decodeLife, type Life, lifeKey, type LifeKind, silentMs } from "./life.ts";

const LIVES_BUCKET = "ARQON_LIVES";
/** The most incarnations that a reader gets: the newest ones. */
const READ_MAX = 1_000;
/** Lives that are read concurrently. */
const AT_A_TIME = 16;

/** The lives of all Shields and Brains. */
export class Lives {
  readonly #spine: Pick<Spine, "keyValue">;

  constructor(spine: Pick<Spine, "keyValue">) {
    this.#spine = spine;
  }

  /** Opens the bucket; the next call retries a failure. Rejects with `spine-unavailable`. */
  bucket: () => Promise<KeyValue> = openOnce(() =>
    this.#spine.keyValue(LIVES_BUCKET, { unwatched: true })
  );

  /** The lives of Shields, in the order of their starts; at most a thousand. Rejects with `spine-unavailable`. */
  async all(): Promise<readonly Life[]> {
    return await this.#some("life", -READ_MAX);
  }

  /** The lives of Brains with such components, in the same way. */
  async brains(): Promise<readonly Life[]> {
    return await this.#some("brain", -READ_MAX);
  }

  /**
   * Deletes lives that have been silent for longer than `kept_ms`. Returns how many. Rejects with `spine-unavailable`.
   */
  async sweep(kept_ms: number, now_ms: number, kind: LifeKind = "life"): Promise<number> {
    const bucket = await this.bucket();
    let swept = 0;
    for (const life of await this.#some(kind, 0, READ_MAX)) {
      if (silentMs(life, now_ms) <= kept_ms) continue;
      await bucket.delete(lifeKey(life.node_id, life.began_ms, kind));
      swept++;
    }
    return swept;
  }

  async #some(kind: LifeKind, from: number, to?: number): Promise<readonly Life[]> {
    const bucket = await this.bucket();
    const keys = (await bucket.keys([kind])).toSorted((a, b) => Number(a[2]) - Number(b[2]))
      .slice(from, to);
    const lives: Life[] = [];
    for (let at = 0; at < keys.length; at += AT_A_TIME) {
      const some = keys.slice(at, at + AT_A_TIME);
      const entries = await Promise.all(some.map((key) => bucket.get(key)));
      for (const entry of entries) {
        const life = entry && decodeLife(entry);
        if (life !== undefined) lives.push(life);
      }
    }
    return lives;
  }
}
