/**
 * The NATS engine's buckets, object stores, ledgers and stores of blocks, each opened once and bounded. The caller
 * checks names and the connection.
 */
import { BANS_BUCKET } from "../../../records/bans.ts";
import { REDUCER_OBJECTS } from "../../../records/reducer_record.ts";
import { PROOF_BUCKET } from "../../../proof/entry.ts";
import { ROOMS_BUCKET } from "../../../records/room_update.ts";
import type { BlockRetention, BlockStore, BlockStoreName } from "../../contract/block_store.ts";
import type { Ledger, LedgerRetention } from "../../contract/ledger.ts";
import { Bucket } from "./nats_bucket.ts";
import type { NatsConfig } from "../connection/nats_connect.ts";
import { type NatsKv, openNatsKv } from "./nats_kv.ts";
import { openNatsBlocks } from "./nats_blocks.ts";
import { openNatsLedger } from "./nats_ledger.ts";
import type { Link } from "../connection/nats_link.ts";
import { logError } from "../log/nats_log_api.ts";
import type { Inbox } from "../log/nats_log_inbox.ts";
import { LOGS_BUCKET } from "../log/nats_log_names.ts";
import { openNatsObjects } from "./nats_objects.ts";
import { NatsStorage } from "../log/nats_storage.ts";
import type {
  KeyValue,
  KeyValueOptions,
  ObjectStore,
  StorageReport,
} from "../../contract/spine.ts";

/** The buckets that Brains write, whose room must be reserved before tenants' logs use it up. */
const CLAIMED = [ROOMS_BUCKET, BANS_BUCKET];

/** The engine's parts that the stores need. */
interface NatsStoresOptions {
  readonly link: Link;
  readonly inbox: Inbox;
  readonly config: Pick<
    NatsConfig,
    "control_bytes" | "reducer_bytes" | "proof_bytes" | "storage_bytes"
  >;
}

/** All stores of one connection. */
export class NatsStores {
  readonly storage: NatsStorage;
  readonly #options: NatsStoresOptions;
  readonly #buckets = new Map<string, Promise<NatsKv>>();
  #claimed: Promise<void> | undefined;

  constructor(options: NatsStoresOptions) {
    const { link, config } = options;
    const { control_bytes, reducer_bytes, proof_bytes, storage_bytes } = config;
    this.#options = options;
    const anchor = () => this.#anchor();
    const own_bytes = { [REDUCER_OBJECTS]: reducer_bytes, [PROOF_BUCKET]: proof_bytes };
    this.storage = new NatsStorage({ link, control_bytes, own_bytes, storage_bytes, anchor });
  }

  async keyValue(
    bucket: string,
    { plain = false, leaves_stream = false, unwatched = false }: KeyValueOptions = {},
  ): Promise<KeyValue> {
    const { link } = this.#options;
    const view = `${bucket} ${plain} ${leaves_stream} ${unwatched}`;
    const { storage } = this;
    const opening = this.#buckets.get(view) ??
      openNatsKv(link, bucket, { storage, plain, leaves_stream, unwatched });
    this.#buckets.set(view, opening);
    try {
      return await opening;
    } catch (error) {
      this.#buckets.delete(view);
      throw error;
    }
  }

  /** As `Spine.objects`. */
  objects(bucket: string): Promise<ObjectStore> {
    return openNatsObjects(this.#options.link, bucket, this.storage);
  }

  /** As `Spine.ledger`. */
  ledger(name: string, retention: LedgerRetention): Promise<Ledger> {
    return openNatsLedger({ ...this.#options, storage: this.storage, name }, retention);
  }

  /** As `Spine.blocks`. */
  blocks(name: BlockStoreName, retention: BlockRetention): BlockStore {
    return openNatsBlocks({ ...this.#options, storage: this.storage, name }, retention);
  }

  /** As `Spine.storage`. */
  async report(): Promise<StorageReport> {
    const { link } = this.#options;
    try {
      return await link.guard(this.storage.report());
    } catch (error) {
      throw logError(link, error);
    }
  }

  /**
   * Reserves the room of the Brains' buckets, even if a Shield starts first. Without permission or room it only logs
   * that.
   */
  claim(): Promise<void> {
    return this.#claimed ??= this.#claim();
  }

  async #claim(): Promise<void> {
    for (const bucket of CLAIMED) {
      await this.keyValue(bucket, { leaves_stream: true }).catch((error: unknown) => {
        this.#claimed = undefined;
        this.storage.log.warn("the room for a bucket could not be reserved", { bucket, error });
      });
    }
  }

  /** Ends every watch. */
  async close(): Promise<void> {
    for (const outcome of await Promise.allSettled(this.#buckets.values())) {
      if (outcome.status === "fulfilled") outcome.value.close();
    }
  }

  /** Creates the smallest bucket's stream if missing; resolves with its subjects. */
  async #anchor(): Promise<string> {
    const options = { plain: false, storage: this.storage, leaves_stream: true };
    const bucket = new Bucket(this.#options.link, LOGS_BUCKET, options);
    await bucket.claim();
    return bucket.subject(">");
  }
}
