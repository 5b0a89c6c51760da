/** The reducers capability of a Brain. */
import type { BrainCapability } from "../capability.ts";
import { CutOffQuestion } from "../../shared/cluster/cluster_room.ts";
import { NO_REDUCERS, reducerCommands } from "./reducer_commands.ts";
import { startReducers } from "./service.ts";

/** The capability, for a Brain's list. */
export const REDUCERS: BrainCapability = {
  name: "reducers",
  title: "programs of rooms",
  async open(env) {
    const started = env.config.reducers.length === 0 ? undefined : await startReducers(env);
    const calls = started ?? NO_REDUCERS;
    return {
      commands: reducerCommands(calls),
      questions: { cut_off: (params) => calls.cutOff(CutOffQuestion.parse(params).tenant) },
      drain: async () => await started?.drain(),
    };
  },
};
