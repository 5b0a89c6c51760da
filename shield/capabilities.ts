/**
 * The list of a Shield's capabilities. A capability that is removed from this list is absent; the kernel knows only the
 * list.
 */
import { ADMISSION } from "./admission/capability.ts";
import { CONSOLE } from "./admin/console/capability.ts";
import { INSPECT } from "./admin/inspect/capability.ts";
import { MODERATION } from "./admin/operations/capability.ts";
import { PLAN } from "./apply/capability.ts";
import { AUDIT } from "./audit/capability.ts";
import { BACKENDS } from "./backend/capability.ts";
import { BACKUP } from "./backup/capability.ts";
import { BATCH } from "./batch/capability.ts";
import type { Capability } from "./capability.ts";
import { CENTRIFUGO } from "./centrifugo/capability.ts";
import { CLASSES } from "./classes/capability.ts";
import { DATA } from "./data/capability.ts";
import { DELTAS } from "./deltas/capability.ts";
import { DESCRIPTION } from "./description/capability.ts";
import { DURABLE } from "./durable/capability.ts";
import { FILTERS } from "./filter/capability.ts";
import { GROWING } from "./growing/capability.ts";
import { HOOKS } from "./hooks/capability.ts";
import { JOURNAL } from "./journal/capability.ts";
import { WHY } from "./ledger/capability.ts";
import { JWKS } from "./jwks/capability.ts";
import { MEMORY } from "./memory/capability.ts";
import { MIRROR } from "./mirror/capability.ts";
import { NATS_API } from "./nats_api/capability.ts";
import { PATTERNS } from "./patterns/capability.ts";
import { POLICIES } from "./policy/capability.ts";
import { PRESENCE } from "./presence/capability.ts";
import { PROOF } from "./proof/capability.ts";
import { PUSHER } from "./pusher/capability.ts";
import { QUOTA } from "./quota/capability.ts";
import { REDUCERS } from "./reducers/capability.ts";
import { ROOMS } from "./rooms/capability.ts";
import { SCHEDULES } from "./schedules/capability.ts";
import { SCHEMAS } from "./schema/capability.ts";
import { SSE } from "./sse/capability.ts";
import { STREAMS } from "./streams/capability.ts";
import { TAP } from "./tap/capability.ts";
import { TRACES } from "./traces/capability.ts";
import { USAGE } from "./usage/capability.ts";

/** In the order in which they open, and then start; a capability follows those that it builds on. */
export const SHIELD_CAPABILITIES: readonly Capability[] = [
  ADMISSION,
  JWKS,
  ROOMS,
  DURABLE,
  SSE,
  STREAMS,
  GROWING,
  BATCH,
  NATS_API,
  BACKENDS,
  CLASSES,
  AUDIT,
  QUOTA,
  USAGE,
  WHY,
  TRACES,
  INSPECT,
  PUSHER,
  CENTRIFUGO,
  MIRROR,
  JOURNAL,
  POLICIES,
  SCHEMAS,
  FILTERS,
  DELTAS,
  PRESENCE,
  PATTERNS,
  MODERATION,
  BACKUP,
  DATA,
  PROOF,
  SCHEDULES,
  REDUCERS,
  HOOKS,
  PLAN,
  CONSOLE,
  DESCRIPTION,
  MEMORY,
  TAP,
];
