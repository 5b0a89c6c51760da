/**
 * The Brain without its process: its command desk and its capabilities on a given Spine, so that `deno task dev` can
 * run it beside a Shield. `listeners.ts` has the listeners; `main.ts` handles arguments, files and signals.
 */
import { brainIdOf } from "../shared/cluster/cluster.ts";
import type { HealthCheck, HealthReport } from "../shared/listeners/ops.ts";
import type { Spine } from "../shared/spine/contract/spine.ts";
import { plural } from "../shared/plural.ts";
import type { BrainEnv, BrainOptions, BrainPart } from "./capability.ts";
import { memberlessView } from "./cluster_view.ts";
import { FollowedClasses } from "./classes/followed_classes.ts";
import { startDesk } from "./desk/desk.ts";
import { startInspect } from "./inspect.ts";
import { openRing } from "./ring/service.ts";

/** A running Brain. */
export interface Brain {
  readonly brain_id: string;
  /** Ready when the Spine is connected, every capability is, and the Brain is not draining. */
  health(): HealthReport;
  /**
   * Notifies the other Brains, which take over; accepts no new commands, answers the pending ones, then resolves.
   * Leaves the Spine open. Idempotent.
   */
  drain(): Promise<void>;
}

function spineCheck({ status }: Spine): HealthCheck {
  const server = status.server === undefined ? "" : ` ${status.server}`;
  return {
    ok: status.state === "connected",
    since_ms: status.since_ms,
    detail: `${status.engine}${server} ${status.state}, ${plural(status.reconnects, "reconnect")}`,
  };
}

/** The Brain's id: never the node id itself, which is a Shield's. */
function ownId({ brain_id, config: { server: { node_id } }, random }: BrainOptions): string {
  if (brain_id !== undefined) return brain_id;
  if (node_id !== undefined) return brainIdOf(node_id);
  return `brain-${Math.floor(random() * 2 ** 32).toString(16).padStart(8, "0")}`;
}

/** First announces that this Brain stops; then ends its components in reverse order. */
async function end(parts: readonly BrainPart[]): Promise<void> {
  for (const one of parts) await one.leave?.();
  for (const one of parts.toReversed()) await one.drain();
}

/** Starts the components of a Brain in order of their dependencies. If one cannot start, the others end. */
async function startParts(options: BrainOptions) {
  const { capabilities, changes = options.reloading } = options;
  const { monotonic_ms = () => performance.now() } = options;
  const brain_id = ownId(options);
  const classes = FollowedClasses.shared({ ...options, changes });
  const parts: BrainPart[] = [{ drain: classes.close }];
  try {
    const { ring, leave } = await openRing({ ...options, brain_id, monotonic_ms });
    parts.push({ leave, drain: leave });
    let env: BrainEnv = {
      ...options,
      brain_id,
      ring,
      changes,
      monotonic_ms,
      openClasses: classes.open,
      view: memberlessView(ring),
      reportRooms: undefined,
    };
    for (const { open } of capabilities) {
      const part = await open?.(env);
      if (part === undefined) continue;
      parts.push(part);
      env = { ...env, ...part.gives };
    }
    await ring.serve();
    const own = Object.assign({}, ...parts.map((one) => one.commands));
    const opened = [...parts];
    const stop = () => Promise.all(opened.map((one) => one.stop?.()));
    parts.push(await startDesk({ ...env, own, stop }));
    for (const { start } of capabilities) if (start !== undefined) parts.push(await start(env));
    return { env, parts };
  } catch (error) {
    await end(parts);
    throw error;
  }
}

/**
 * Starts a Brain; resolves once it serves and accepts commands. Rejects with `spine-unavailable` if it cannot
 * subscribe, or a bucket cannot be opened or read.
 */
export async function startBrain(options: BrainOptions): Promise<Brain> {
  const { spine, now, storage } = options;
  const { env: { view }, parts } = await startParts(options);
  const started_ms = now();
  let since_ms = started_ms;
  let drained: Promise<void> | undefined;

  const drain = async (): Promise<void> => {
    since_ms = now();
    await end(parts);
    inspect.close();
  };
  const health = () => {
    const draining = drained !== undefined;
    const commands = { ok: !draining, since_ms, detail: draining ? "draining" : "serving" };
    const stored = storage === undefined ? {} : { storage: storage() };
    return {
      checks: Object.assign(
        { spine: spineCheck(spine), ...stored, commands },
        ...parts.map((one) => one.checks?.()),
      ),
    };
  };
  const inspect = startInspect({
    version: "",
    ...options,
    view,
    started_ms,
    checks: () => health().checks,
    isDraining: () => drained !== undefined,
    figures: parts.flatMap((one) => one.figures ?? []),
    questions: Object.assign({}, ...parts.map(({ questions }) => questions)),
  });
  return {
    brain_id: view.brain_id,
    health,
    drain: () => drained ??= drain(),
  };
}
