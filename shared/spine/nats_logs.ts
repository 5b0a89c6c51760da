/**
 * All logs of one connection: one object a tenant, and who is told when a log has moved, come back or
 * been lost. What a log does is in `nats_log.ts`.
 */
import { tenantLogPattern } from "../subject.ts";
import type { DurableLog, LogLimits, Retention } from "./durable_log.ts";
import type { Link } from "./nats_link.ts";
import { NatsLog } from "./nats_log.ts";
import type { LogTools } from "./nats_log.ts";
import { LogApi } from "./nats_log_api.ts";
import { AppendLane } from "./nats_log_append.ts";
import type { ByteCount } from "./nats_log_append.ts";
import type { NameTools } from "./nats_log_names.ts";
import { Inbox } from "./nats_log_inbox.ts";
import type { Wire } from "./nats_wire.ts";

/**
 * What JetStream tells of streams; the last token is the stream's name. At most once: a busy server now
 * and then says nothing of a deletion (2.15.2), and whoever asks the log next finds out.
 */
const ADVISORIES = [
  "$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED",
  "$JS.EVENT.ADVISORY.STREAM.DELETED",
];

/** What the logs need of their engine. */
export interface LogsOptions {
  readonly link: Link;
  readonly wire: Wire;
  readonly bytes: ByteCount;
  readonly limits: LogLimits;
  readonly names: NameTools;
  /** Milliseconds that only grow. */
  readonly monotonic: () => number;
  payload_bytes_max(): number;
}

/** The logs that this process has opened. As many as it has tenants with durable rooms. */
export class NatsLogs {
  readonly #link: Link;
  readonly #inbox: Inbox;
  readonly #lane: AppendLane;
  readonly #tools: LogTools;
  readonly #logs = new Map<string, { log: NatsLog; opened: Promise<void> }>();
  #listening = false;

  constructor(options: LogsOptions) {
    const { link, wire } = options;
    this.#link = link;
    this.#inbox = new Inbox(link, wire);
    this.#lane = new AppendLane({ ...options, inbox: this.#inbox });
    this.#tools = {
      ...options,
      api: new LogApi(link),
      inbox: this.#inbox,
      lane: this.#lane,
      payload_bytes_max: () => options.payload_bytes_max(),
      onAnotherStream: (log) => this.#tell(log),
    };
  }

  /** As `Spine.log`. One opening at a time for a tenant; one that failed is tried anew. */
  async open(tenant_id: string, retention: Retention): Promise<DurableLog> {
    this.#link.assertConnected();
    tenantLogPattern(tenant_id); // Throws for what is no tenant.
    this.#listen();
    const known = this.#logs.get(tenant_id);
    if (known !== undefined) {
      await known.opened;
      await known.log.retain(retention);
      return known.log;
    }
    const log = new NatsLog(this.#tools, tenant_id, retention);
    const opened = log.open();
    this.#logs.set(tenant_id, { log, opened });
    try {
      await opened;
    } catch (error) {
      this.#logs.delete(tenant_id);
      throw error;
    }
    return log;
  }

  /** The connection is lost: appends under way have an unknown outcome. */
  cut(): void {
    this.#inbox.cut();
    this.#lane.stop();
  }

  /** Resolves when no append is under way. */
  idle(): Promise<void> {
    return this.#lane.idle();
  }

  #listen(): void {
    if (this.#listening) return;
    this.#listening = true;
    const { connection, log } = this.#link;
    for (const advisory of ADVISORIES) {
      connection.subscribe(`${advisory}.*`, {
        callback: (error, { subject }) => {
          if (error) return log.error("NATS ended a subscription", { advisory, error });
          const stream = subject.slice(advisory.length + 1);
          for (const { log } of this.#logs.values()) if (log.stream === stream) this.#tell(log);
        },
      });
    }
    this.#link.onReconnect(() => void this.#back());
  }

  /** Only when the subscriptions are with the server again does it help to compare with the log. */
  async #back(): Promise<void> {
    try {
      await this.#link.guard(this.#link.connection.flush());
    } catch {
      return; // Lost again: the next reconnect tells it.
    }
    for (const { log } of this.#logs.values()) this.#tell(log);
  }

  #tell({ tenant_id }: NatsLog): void {
    this.#link.listeners.emit({ type: "log", tenant_id });
  }
}
