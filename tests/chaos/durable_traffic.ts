/**
 * The durable rooms of a chaos run: the publishers, readers and the checker of `tests/durable` on this
 * run's processes, in several tenants with the same room names.
 */
import { LOG_DEDUPLICATION_MS } from "../../shared/spine/contract/durable_log.ts";
import { becomes } from "../../shared/testing/until.ts";
import { check } from "../durable/checker.ts";
import { readHead, recordLog } from "../durable/log_reader.ts";
import { Publisher } from "../durable/publisher.ts";
import { RawReader } from "../durable/raw_reader.ts";
import { Reader } from "../durable/reader.ts";
import type { Standing } from "../durable/reader.ts";
import { Recorder } from "../durable/recording.ts";
import type { Recording } from "../durable/recording.ts";
import type { TrafficOptions } from "./traffic.ts";

/** One tenant's clients. */
interface Tenant {
  readonly tenant_id: string;
  readonly token: string;
  readonly recorder: Recorder;
  readonly publisher: Publisher;
  readonly steady: Reader;
  readonly roaming: Reader;
  readonly raw: RawReader;
}

/** Rooms of this form are durable in a chaos run. */
export const DURABLE_PREFIX = "log-";
/** `[[rooms]]` of its Shields. */
export const DURABLE_CONFIG = `
[[rooms]]
room = "${DURABLE_PREFIX}*"
durable = true
history_size = 100_000
history_ttl_seconds = 3_600
`;

const ROOMS = [0, 1, 2].map((index) => `${DURABLE_PREFIX}${index}`);

/** Made by `Traffic`. */
export class DurableTraffic {
  readonly #options: TrafficOptions;
  readonly #tenant_ids: readonly string[];
  readonly #tenants: Tenant[] = [];

  constructor(options: TrafficOptions, tenant_ids: readonly string[]) {
    [this.#options, this.#tenant_ids] = [options, tenant_ids];
  }

  async open(): Promise<void> {
    for (const [index, tenant_id] of this.#tenant_ids.entries()) {
      this.#tenants.push(await this.#add(tenant_id, index));
    }
    await Promise.all(
      this.#tenants.flatMap(({ publisher, steady, roaming, raw }) =>
        [publisher, steady, roaming, raw].map((client) => client.open())
      ),
    );
  }

  async run(signal: AbortSignal): Promise<void> {
    const { roam_ms } = this.#options.variant;
    await Promise.all(this.#tenants.flatMap(({ publisher, roaming }) => [
      publisher.run(signal),
      roaming.roam(signal, roam_ms),
    ]));
    for (const { raw } of this.#tenants) raw.settle();
  }

  /** Waits until everybody is at the end of each room; who is not in the end. */
  async settle(): Promise<string[]> {
    const deadline_ms = performance.now() + this.#options.variant.bound_ms;
    const late: string[] = [];
    for (const { tenant_id, token, recorder, steady, roaming, raw } of this.#tenants) {
      const log = { http_url: this.#http_url, token };
      for (const room_id of ROOMS) {
        const head = await readHead(log, room_id);
        const behind = (reader: Standing) => (reader.offsetOf(room_id) ?? -1) < head;
        const readers: readonly Standing[] = [steady, roaming, raw];
        await becomes(() => !readers.some(behind), deadline_ms - performance.now());
        for (const reader of readers.filter(behind)) {
          const at = reader.offsetOf(room_id);
          late.push(`${reader.name} is at ${at} of ${tenant_id}/${room_id}, which ends at ${head}`);
        }
        await recordLog(log, room_id, recorder, "history");
      }
    }
    return late;
  }

  /** What the checker of durable rooms says. */
  judge(): { violations: readonly string[]; report: readonly string[] } {
    const violations: string[] = [];
    const report: string[] = [];
    for (const { tenant_id, recorder } of this.#tenants) {
      const { findings, figures } = check(recorder.recording(), {
        deduplication_ms: LOG_DEDUPLICATION_MS,
      });
      for (const { kind, room_id, text } of findings) {
        violations.push(`${kind} in ${tenant_id}/${room_id}: ${text}`);
      }
      // Everything is kept, so nothing can be lost but by a new life of the log.
      for (const [reason, count] of figures.losses) {
        violations.push(`a loss was told in durable rooms of ${tenant_id}: ${reason} (${count})`);
      }
      const { publishes, acknowledged, deliveries, recoveries, new_lives } = figures;
      if (acknowledged === 0) violations.push(`nothing was acknowledged in ${tenant_id}'s logs`);
      report.push(
        `durable  ${tenant_id}: ${publishes} messages, ${acknowledged} acknowledged, ` +
          `${deliveries} deliveries, ${recoveries} recoveries, ${new_lives} new lives`,
      );
    }
    return { violations, report };
  }

  recordings(): readonly Recording[] {
    return this.#tenants.map(({ recorder }) => recorder.recording());
  }

  async close(): Promise<void> {
    await Promise.all(
      this.#tenants.flatMap(({ publisher, steady, roaming, raw }) =>
        [publisher, steady, roaming, raw].map((client) => client.close())
      ),
    );
  }

  get #http_url(): string {
    return (this.#options.urls[0] ?? "").replace(/^ws/, "http");
  }

  async #add(tenant_id: string, index: number): Promise<Tenant> {
    const { urls, issuer, random, onSurprise, variant } = this.#options;
    const token = await issuer.tokenFor({ tenant_id, role: "service", sub: "logger" });
    const recorder = new Recorder();
    let count = 0;
    const own = (name: string) => ({
      // Message ids begin with it: another tenant's are not this recording's.
      name: `${tenant_id}-${name}`,
      url: urls[count++ % urls.length]!,
      token,
      rooms: ROOMS,
      recorder,
      random: random.fork(1_000 + index * 10 + count),
      onSurprise,
    });
    const rate = variant.durable_rate / this.#tenant_ids.length;
    const now = () => performance.now();
    const subprotocol = index % 2 === 0 ? "arqon.v1" as const : "arqon.v1.json" as const;
    return {
      tenant_id,
      token,
      recorder,
      publisher: new Publisher({ ...own("publisher"), rate, now }),
      steady: new Reader(own("steady")),
      roaming: new Reader(own("roaming")),
      raw: new RawReader({ ...own("raw"), subprotocol }),
    };
  }
}
