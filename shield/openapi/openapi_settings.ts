/** What the routes about mirroring, room classes, states and rollouts say of themselves. */
import {
  abouts,
  BOOLEAN,
  COUNT,
  ID,
  inQuery,
  list,
  object,
  ref,
  TENANT,
  TEXT,
} from "./openapi_parts.ts";
import type { Schema } from "./openapi_parts.ts";

const OBJECT: Schema = { type: "object" };
const SETTINGS = ref("TenantSettings");

/** What several paths use. */
export const SETTINGS_SCHEMAS: Readonly<Record<string, Schema>> = {
  TenantSettings: object({ tenant: ID, version: COUNT, revision: COUNT, here: OBJECT }),
};

/** Routes of mirror. */
export const MIRROR_ABOUT = abouts({
  listMirrorRules: {
    tag: "mirror",
    summary: "the mirror rules in force here",
    answer: object({ node_id: ID, rules: list(OBJECT), truncated: BOOLEAN }),
  },
  explainMirror: {
    tag: "mirror",
    summary: "which rule a subject is under, and whether a key is mirrored",
    query: [
      inQuery("subject", "in.t.TENANT.r.ROOM", TEXT, true),
      inQuery("key", "a trace id, or a connection's id", TEXT),
    ],
    answer: OBJECT,
  },
  getMirrorDiff: {
    tag: "mirror",
    summary: "what candidates would have decided otherwise, at this Shield",
    query: [TENANT, inQuery("candidate", "only this one", TEXT)],
    answer: object({ node_id: ID, tenant: ID, candidates: list(OBJECT) }),
  },
  resetMirrorDiff: {
    tag: "mirror",
    summary: "forgets what candidates have decided",
    query: [TENANT, inQuery("candidate", "only this one", TEXT)],
    answer: OBJECT,
  },
  getMirrorRules: { tag: "mirror", summary: "a tenant's own mirror rules", answer: SETTINGS },
  setMirrorRule: {
    tag: "mirror",
    summary: "sets a tenant's mirror rule of one prefix",
    answer: SETTINGS,
    refusals: [409],
  },
  removeMirrorRule: {
    tag: "mirror",
    summary: "removes a tenant's mirror rule",
    query: [inQuery("prefix", "the rule's prefix", TEXT, true)],
    answer: SETTINGS,
    refusals: [409],
  },
  resetSettings: {
    tag: "mirror",
    summary: "begins a tenant's settings anew that cannot be read",
    answer: SETTINGS,
    refusals: [409],
  },
});

/** Routes of classes. */
export const CLASSES_ABOUT = abouts({
  listRoomClasses: {
    tag: "room classes",
    summary: "the room classes in force",
    answer: object({ node_id: ID, classes: list(OBJECT), truncated: BOOLEAN }),
  },
  explainRoomClass: {
    tag: "room classes",
    summary: "which class a room is of, and why",
    query: [TENANT, inQuery("room", "the room", ID, true)],
    answer: OBJECT,
  },
  getRoomClasses: { tag: "room classes", summary: "a tenant's own room classes", answer: SETTINGS },
  setRoomClass: {
    tag: "room classes",
    summary: "sets a tenant's room class",
    answer: SETTINGS,
    refusals: [409],
  },
  removeRoomClass: {
    tag: "room classes",
    summary: "removes a tenant's room class",
    query: [inQuery("room", "the class's pattern", TEXT, true)],
    answer: SETTINGS,
    refusals: [409],
  },
  findUnreachable: {
    tag: "room classes",
    summary: "which stored messages nobody could reach with these classes of the tenant; no change",
    answer: object({
      tenant: ID,
      hidden: OBJECT,
      cut: OBJECT,
      named: list(OBJECT),
      more: BOOLEAN,
      node_id: ID,
    }),
  },
});

/** Routes of a tenant's whole state. */
export const STATE_ABOUT = abouts({
  listStates: {
    tag: "state",
    summary: "the tenants that have set anything at run time, from policies to quotas",
    answer: object({ node_id: ID, tenants: list(ID) }),
  },
  applyBusState: {
    tag: "state",
    summary: "puts versions of schemas that are stored in force for the whole bus, all or none",
    answer: object({ node_id: ID, apply: {}, schemas: list(ID) }),
    refusals: [409, 429],
  },
  getTenantState: {
    tag: "state",
    summary: "all that a tenant has in force, from policies to quotas, and its revisions",
    answer: object({ tenant: ID, basis: OBJECT, policies: list(OBJECT), applied: {} }),
  },
  applyTenantState: {
    tag: "state",
    summary: "replaces all that is given in one step, if nobody has changed anything since `basis`",
    answer: object({ tenant: ID, basis: OBJECT, policies: list(OBJECT), applied: {} }),
    refusals: [409, 429],
  },
});

const ROLLOUT: Schema = object({
  tenant: ID,
  rollout: OBJECT,
  share: { type: "number" },
  waits: TEXT,
  tallies: list(OBJECT),
  nodes: list(OBJECT),
});

/** Routes of rollouts. */
export const ROLLOUT_ABOUT = abouts({
  listRollouts: {
    tag: "state",
    summary: "the latest rollout of each tenant, and those before it",
    query: [inQuery("tenant", "only of this tenant", TEXT)],
    answer: object({ node_id: ID, rollouts: list(OBJECT) }),
  },
  getRollout: {
    tag: "state",
    summary: "a tenant's latest rollout: how far it is, what it waits for, what was counted",
    answer: ROLLOUT,
    refusals: [404],
  },
  startRollout: {
    tag: "state",
    summary: "puts a state in force in steps, and takes it back when a condition is not held",
    answer: ROLLOUT,
    refusals: [409, 429],
  },
  pauseRollout: {
    tag: "state",
    summary: "holds a rollout at its share; its conditions are still looked after",
    answer: ROLLOUT,
    refusals: [404, 409],
  },
  resumeRollout: {
    tag: "state",
    summary: "lets a rollout go on that was paused",
    answer: ROLLOUT,
    refusals: [404, 409],
  },
  abortRollout: {
    tag: "state",
    summary: "ends a rollout: the old state is in force again",
    answer: ROLLOUT,
    refusals: [404, 409],
  },
});
