/** The reducers capability of a Brain. */
import type { BrainCapability } from "../capability.ts";
import { startReducers } from "./service.ts";

/** The capability, for a Brain's list. */
export const REDUCERS: BrainCapability = {
  name: "reducers",
  title: "programs of rooms",
  async open(env) {
    if (env.config.reducers.length === 0) return undefined;
    const calls = await startReducers(env);
    return { gives: { calls }, drain: () => calls.drain() };
  },
};
