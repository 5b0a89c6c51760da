/**
 * Verdicts of shadow consumers: received from `shadow.verdicts.t.TENANT` on the Spine, matched by trace id with this
 * Shield's mirrored messages, and compared. A service client sends its verdict as an event, which the Shield forwards
 * to that subject.
 */
import { z } from "zod";
import { BoundedMap } from "../../shared/containers/bounded_map.ts";
import type { Env } from "../../shared/env.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import type { SpineMessage } from "../../shared/spine/contract/spine_message.ts";
import {
  ALL_SHADOW_VERDICTS,
  parseShadowVerdictsSubject,
  shadowVerdictsSubject,
} from "../../shared/subjects/subject.ts";
import type { DiffBook } from "./diff.ts";
import type { MirrorStats } from "./stats.ts";

/** The type of the event with a verdict of a client with role `service`. */
export const SHADOW_VERDICT = "SHADOW_VERDICT";

/** The largest verdict, in bytes of JSON. */
const VERDICT_BYTES = 4_096;
/** The least time between two log lines about malformed verdicts, in ms. */
const LOG_MS = 10_000;

const Verdict = z.looseObject({
  candidate: z.string().regex(/^(?!policy:|schema:)[\x21-\x7e]{1,128}$/, {
    error: 'expected 1 to 128 visible characters, not beginning with "policy:" or "schema:"',
  }),
  trace_id: z.string().regex(/^[0-9a-f]{32}$/, { error: "expected 32 lowercase hex digits" }),
  verdict: z.enum(["allow", "refuse"]),
  reason: z.string().default(""),
});

/** Production's decision about a message. */
export interface Decision {
  readonly refused: boolean;
  readonly room: string;
}

/** The latest decisions about messages that a rule selected, by tenant and trace id. */
export class Decisions {
  readonly #decisions: BoundedMap<string, Decision>;

  constructor(messages_max: number) {
    this.#decisions = new BoundedMap(messages_max);
  }

  /**
   * Stores the decision of production. Of several messages of one trace the latest counts; beyond the limit the oldest
   * is dropped.
   */
  remember(tenant_id: string, trace_id: string, decision: Decision): void {
    this.#decisions.renew(`${tenant_id} ${trace_id}`, decision);
  }

  /** Drops the tenant's: a later verdict about an erased message may quote it, and is counted as unmatched. */
  forget(tenant_id: string): void {
    for (const key of this.#decisions.keys()) {
      if (key.startsWith(`${tenant_id} `)) this.#decisions.delete(key);
    }
  }

  find(tenant_id: string, trace_id: string): Decision | undefined {
    return this.#decisions.get(`${tenant_id} ${trace_id}`);
  }
}

interface VerdictsOptions extends Pick<Env, "log" | "now"> {
  readonly spine: Pick<Spine, "subscribe" | "publish">;
  readonly book: DiffBook;
  readonly decisions: Decisions;
  readonly stats: Pick<MirrorStats, "verdict">;
}

/** The receiver of verdicts, while it is open. */
export interface ShadowVerdicts {
  /** Forwards a service client's verdict to every Shield. Never throws. */
  forward(tenant_id: string, data: Uint8Array): void;
  close(): void;
}

/** Starts to receive verdicts. Throws `spine-unavailable`. */
export function startVerdicts(options: VerdictsOptions): ShadowVerdicts {
  const { spine, book, decisions, stats, log, now } = options;
  let logged_ms = -Infinity;
  const malformed = (tenant_id: string, error: unknown) => {
    stats.verdict("malformed");
    if (Math.abs(now() - logged_ms) < LOG_MS) return;
    logged_ms = now();
    log.warn("a verdict of a shadow consumer is malformed", { tenant_id, error });
  };
  const receive = ({ subject, payload }: SpineMessage) => {
    const tenant_id = parseShadowVerdictsSubject(subject);
    if (tenant_id === undefined) return;
    const parsed = parseVerdict(payload);
    if ("problem" in parsed) return malformed(tenant_id, parsed.problem);
    const { candidate, trace_id, verdict: would, reason } = parsed.verdict;
    const verdict = { tenant_id, candidate, refuse: would === "refuse", reason };
    const decision = decisions.find(tenant_id, trace_id);
    if (decision === undefined) return book.unmatched(verdict);
    const { refused, room } = decision;
    book.compare(verdict, refused, { trace_id, room, type: "", at_ms: now() });
  };
  const subscription = spine.subscribe(ALL_SHADOW_VERDICTS, receive);
  return {
    forward(tenant_id, data) {
      try {
        spine.publish(shadowVerdictsSubject(tenant_id), data);
      } catch (error) {
        malformed(tenant_id, error);
      }
    },
    close: () => subscription.unsubscribe(),
  };
}

function parseVerdict(
  bytes: Uint8Array,
): { readonly verdict: z.output<typeof Verdict> } | { readonly problem: string } {
  if (bytes.length > VERDICT_BYTES) return { problem: `more than ${VERDICT_BYTES} bytes` };
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    const parsed = Verdict.safeParse(JSON.parse(text));
    return parsed.success ? { verdict: parsed.data } : {
      problem: parsed.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`)
        .join("; "),
    };
  } catch (error) {
    return { problem: error instanceof Error ? error.message : "not JSON" };
  }
}
