/** The members of a schedule that are said alike in requests and in files. Pure. */
import { z } from "zod";
import { Id } from "../admin/routing/query.ts";
import { WHEN, whenProblem } from "./times.ts";
import type { When } from "./times.ts";

/** The members without the message, which files have as a text. */
export const SCHEDULE_MEMBERS = {
  room: Id,
  user: z.string().min(1).max(128).regex(/^[^\p{C}\p{Zl}\p{Zp}]*$/u, {
    error: "expected characters that can be printed",
  }).default("schedule").describe("in whose name it is published"),
  ...WHEN,
};

/** Refuses times that are none. */
export function refuseWhen(given: When, context: z.core.$RefinementCtx): void {
  const problem = whenProblem(given);
  if (problem === undefined) return;
  context.addIssue({ code: "custom", path: [problem.path], message: problem.message });
}
