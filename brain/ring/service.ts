/** The ring of a running Brain on a Spine: subscribes, encodes, decodes and has the timers. `ring.ts` decides. */
import { scraped } from "../../shared/metrics/metrics.ts";
import { DecodeError } from "@arqon/proto";
import { RING_CODEC, type RingMessage, type RingPort } from "../../shared/cluster/beat.ts";
import { classesHash } from "../../shared/config/classes_hash.ts";
import type { Config } from "../../shared/config/schema.ts";
import type { Env } from "../../shared/env.ts";
import { ROOMS_BUCKET } from "../../shared/records/room_update.ts";
import { steadyTime } from "../../shared/spine/contract/log_clock.ts";
import type { Spine } from "../../shared/spine/contract/spine.ts";
import type { SpineMessage } from "../../shared/spine/contract/spine_message.ts";
import { storeTimeOf } from "../../shared/spine/contract/store_time.ts";
import { everyProcess, HELLO } from "../../shared/subjects/subject.ts";
import { AT, step } from "../../shared/watchdog/steps.ts";
import { createRingMetrics, Ring, type RingOptions } from "./ring.ts";

/** The process's parts that the ring needs. */
interface RingServiceOptions
  extends Pick<Env, "spine" | "registry" | "log" | "now" | "monotonic_ms"> {
  readonly config: Pick<Config, "presence" | "rooms">;
  readonly brain_id: string;
}

/**
 * The embedded Spine loses no message, and delays it only by turns of its event loop: a process that does not answer at
 * once does not exist.
 */
function embedded(spine: Spine): Pick<RingOptions, "settle_ms" | "onceReceived"> {
  const flushed = async () => {
    // One flush for the hello, one for the answer.
    await spine.flush();
    await spine.flush();
  };
  return { settle_ms: 60, onceReceived: (run) => void flushed().then(run, run) };
}

/**
 * When this Brain started, Unix ms. Others ignore a lower number than that of its previous run, so a clock that was set
 * back must not choose it. Without the store, whose loss the other parts report, this process's clock does.
 */
async function bootTime({ spine, now }: RingServiceOptions): Promise<number> {
  const bucket = spine.keyValue(ROOMS_BUCKET, { unwatched: true });
  return await bucket.then((bucket) => storeTimeOf(bucket, now)).catch(now);
}

function portOf({ spine, log, now, monotonic_ms }: RingServiceOptions): RingPort {
  return {
    now: steadyTime({ now, monotonic_ms }),
    after(delay_ms, run) {
      const timer = setTimeout(run, delay_ms);
      return () => clearTimeout(timer);
    },
    send(subject, message) {
      try {
        spine.publish(subject, RING_CODEC.encode(message));
      } catch (error) {
        // The next beat follows, and the Spine logs its own disconnects.
        log.debug("a message of the ring was not sent", { subject, error });
      }
    },
  };
}

async function createRing(options: RingServiceOptions): Promise<Ring> {
  const { brain_id, config, spine, registry, log } = options;
  const ownHash = () => classesHash(config.rooms);
  const ring = new Ring({
    brain_id,
    boot: await bootTime(options),
    port: portOf(options),
    log,
    config: config.presence,
    metrics: createRingMetrics(registry),
    classesHash: ownHash,
    ...(spine.status.engine === "embedded" ? embedded(spine) : {}),
  });
  scraped(registry, {
    "brain_room_classes_hash": [
      "A number for the [[rooms]] of this Brain's configuration: those with others have another.",
      ownHash,
    ],
    "brain_room_classes_differ": [
      "Brains that serve and whose configuration has other [[rooms]] than this one's.",
      () => ring.differing().length,
    ],
  });
  return ring;
}

/**
 * Opens the ring: other Brains are known from now on, and `ring.serve` makes this one known. `leave` announces that it
 * stops, so that others take over its rooms, and unsubscribes; it is idempotent, and the ring keeps answering from its
 * last state. Rejects with `spine-unavailable` if it cannot subscribe.
 */
export async function openRing(options: RingServiceOptions) {
  const { spine, log } = options;
  const ring = await createRing(options);
  const receive = ({ subject, payload }: SpineMessage): void => {
    step(AT.presence);
    let message: RingMessage;
    try {
      message = RING_CODEC.decode(payload);
    } catch (error) {
      if (!(error instanceof DecodeError)) throw error;
      ring.refuse("undecodable", { subject, error });
      return;
    }
    ring.receive(subject, message);
  };
  const subscriptions = [everyProcess("beat"), HELLO].map((one) => spine.subscribe(one, receive));
  const unfollow = spine.onEvent((event) => {
    if (event.type !== "state") return;
    if (event.status.state === "connected") ring.spineBack();
    else ring.spineLost();
  });
  const close = () => {
    unfollow();
    for (const subscription of subscriptions) subscription.unsubscribe();
    ring.close();
  };
  try {
    await spine.flush();
  } catch (error) {
    close();
    throw error;
  }
  let left: Promise<void> | undefined;
  const leave = async (): Promise<void> => {
    ring.drain();
    await spine.flush().catch((error) => log.warn("left the ring without the Spine", { error }));
    close();
  };
  return { ring, leave: (): Promise<void> => left ??= leave() };
}
