/** The rooms capability of a Brain. */
import { totalOf } from "../../shared/cluster/cluster_node.ts";
import type { BrainCapability } from "../capability.ts";
import { createRoomMetrics } from "./metrics.ts";
import { roomAnswers } from "./room_answers.ts";
import { startRooms } from "./service.ts";

/** The state, locks, kicks and bans of rooms. */
export const ROOMS: BrainCapability = {
  name: "rooms",
  title: "the state and locks of rooms, their kicks and bans",
  async open(env) {
    const { registry } = env;
    const rooms = await startRooms({ ...env, metrics: createRoomMetrics(registry) });
    const { commands, stop, drain } = rooms;
    return {
      commands,
      stop,
      drain,
      questions: roomAnswers({ ...env, documentOf: rooms.documentOf }),
      figures: () => async () => {
        const [rooms, rooms_in_memory] = await Promise.all([
          totalOf(registry, "brain_room_count"),
          totalOf(registry, "brain_rooms_in_memory"),
        ]);
        return { gauges: { rooms, rooms_in_memory } };
      },
    };
  },
};
