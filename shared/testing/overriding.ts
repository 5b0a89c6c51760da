/**
 * The whole, with members of its own in the place of some: what a test makes of a store or a Spine that fails, waits or
 * looks at what is asked. Getters of `own` are asked each time.
 */
export function overriding<Whole extends object>(whole: Whole, own: Partial<Whole>): Whole {
  return new Proxy(whole, {
    get(target, name) {
      if (Reflect.has(own, name)) return Reflect.get(own, name);
      const value = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
