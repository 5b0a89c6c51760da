/**
 * A process that follows a log on the NATS server of its argument, for `nats_log_lives_test.ts`: prints its life once
 * it has appended three messages, and runs until it is killed.
 */
import { bytes } from "../../testing/conformance.ts";
import { logEngine, RETENTION } from "./nats_log_harness.ts";

const [url = ""] = Deno.args;
const { spine } = await logEngine([url]);
const log = await spine.log("acme", RETENTION);
for (let number = 0; number < 3; number++) await log.append("a", bytes(String(number)));
console.log(log.stream);
