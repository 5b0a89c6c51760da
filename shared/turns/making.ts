/** Work in steps that makes something: at once where nobody waits, else in slices (`slices.ts`). Pure. */

/** Yields between its steps, and returns what it has made. */
export type Making<Made> = Generator<void, Made>;

/** All steps in one turn. Throws as a step does. */
export function makeAtOnce<Made>(steps: Making<Made>): Made {
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}
