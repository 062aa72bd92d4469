// What the pages say of users.

import type { User } from "../gen/warder/admin/v1/user_pb";
import type { AccessSearch, UserStateName } from "../paths";

export function userState(user: Pick<User, "removed" | "disabled">): UserStateName {
  if (user.removed) {
    return "removed";
  }
  return user.disabled ? "disabled" : "active";
}

/** How somebody can sign in to the administration. */
export function signInWays(user: Pick<User, "hasPassword" | "provider">): string[] {
  const ways = user.hasPassword ? ["password"] : [];
  return user.provider === "" ? ways : [...ways, `provider ${user.provider}`];
}

/** The users that an address asks for: those who were removed only if it says so. */
export function usersLike(users: readonly User[], { q = "", state }: AccessSearch): User[] {
  const part = q.toLowerCase();
  return users.filter((user) => {
    const found = [user.name, ...user.roles, ...user.groups];
    return (
      (state === undefined ? !user.removed : userState(user) === state) &&
      found.some((text) => text.toLowerCase().includes(part))
    );
  });
}
