/** What a running process has logged: it comes by a pipe, some time after the answer to whoever made it happen. */
import { until } from "../../shared/testing/until.ts";

/** Resolves when the log has it; rejects with the log when it has not within the limit of `until`. */
export const logged = (server: { log(): string }, line: RegExp): Promise<void> =>
  until(() => `${line} in the log:\n${server.log()}`, () => line.test(server.log()));
