/**
 * An object with some members replaced: a test's store or Spine that fails, waits or observes calls. Getters of `own`
 * are evaluated each time.
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
