/** Subjects of tests, which no builder makes. */
import type { Subject, SubjectPattern } from "../../subjects/subject.ts";

const TOKEN = /^[A-Za-z0-9_~:=$-]+$/;

/**
 * A subject from outside these builders (tests, inboxes, tools), checked token by token.
 * Throws TypeError for an empty token, a wildcard, white space or more than 32 tokens.
 */
export function exactSubject(text: string): Subject {
  const tokens = text.split(".");
  if (tokens.length > 32 || !tokens.every((token) => TOKEN.test(token))) {
    throw new TypeError(`not an exact subject: ${JSON.stringify(text)}`);
  }
  return text as Subject;
}

/** Like `exactSubject`, but `*` may be any token and `>` the last. */
export function subjectPattern(text: string): SubjectPattern {
  const tokens = text.split(".");
  const valid = tokens.every((token, index) =>
    TOKEN.test(token) || token === "*" || (token === ">" && index === tokens.length - 1)
  );
  if (tokens.length > 32 || !valid) {
    throw new TypeError(`not a subject pattern: ${JSON.stringify(text)}`);
  }
  return text as SubjectPattern;
}
