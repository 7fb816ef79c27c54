/**
 * Who is signed in. The browser talks to Cognito itself; no password passes through Loupe.
 *
 * Tokens live in sessionStorage: a reload keeps them, closing the tab forgets them. Answers that are
 * not sent yet live elsewhere (outbox.js) and survive both.
 */

const TOKENS = "loupe:session";
const REFRESH_EARLY_MS = 60_000;
const TIMEOUT_MS = 20_000;

const SIGN_IN_ERRORS = {
  NotAuthorizedException: "User name or password is wrong.",
  UserNotFoundException: "User name or password is wrong.",
  UserNotConfirmedException: "This account is not confirmed yet. Ask whoever invited you.",
  PasswordResetRequiredException: "Your password has to be reset. Ask whoever invited you for a new one.",
  InvalidPasswordException: "That password does not meet the rules.",
  TooManyRequestsException: "Too many attempts. Wait a minute, then try again.",
  LimitExceededException: "Too many attempts. Wait a minute, then try again.",
};

/** Sign-in did not work; the message is for the person at the page. */
export class SignInError extends Error {}

/** Nobody is signed in, or the session has ended for good. */
export class SignedOut extends Error {}

/** The network or the server is not there at the moment. */
export class Unreachable extends Error {}

export class Session extends EventTarget {
  #config;
  #tokens;
  #refreshing = null;

  /** @param {{user_pool_client_id: string, cognito_endpoint: string}} config */
  constructor(config) {
    super();
    this.#config = config;
    this.#tokens = JSON.parse(sessionStorage.getItem(TOKENS) ?? "null");
  }

  /** @returns {{id: string, name: string} | null} */
  get user() {
    return this.#tokens && { id: this.#tokens.user, name: this.#tokens.name };
  }

  /**
   * @returns {Promise<object | null>} null when signed in; otherwise the challenge to hand to
   *   chooseNewPassword.
   * @throws {SignInError | Unreachable}
   */
  async signIn(name, password) {
    const answer = await this.#cognito("InitiateAuth", {
      AuthFlow: "USER_PASSWORD_AUTH",
      ClientId: this.#config.user_pool_client_id,
      AuthParameters: { USERNAME: name, PASSWORD: password },
    });
    return this.#challengeOrSignedIn(answer, name);
  }

  /** @throws {SignInError | Unreachable} */
  async chooseNewPassword(challenge, password) {
    const answer = await this.#cognito("RespondToAuthChallenge", {
      ChallengeName: "NEW_PASSWORD_REQUIRED",
      ClientId: this.#config.user_pool_client_id,
      Session: challenge.session,
      ChallengeResponses: { USERNAME: challenge.user, NEW_PASSWORD: password },
    });
    return this.#challengeOrSignedIn(answer, challenge.name);
  }

  /**
   * The ID token, renewed shortly before it ends.
   * @throws {SignedOut | Unreachable}
   */
  async token() {
    if (!this.#tokens) throw new SignedOut();
    if (Date.now() > this.#tokens.endsAt - REFRESH_EARLY_MS) await this.refresh();
    return this.#tokens.id;
  }

  /** Gets a new ID token; callers that come together share one request. */
  refresh() {
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = null;
    });
    return this.#refreshing;
  }

  /** Ends the session because the server no longer takes it. */
  end() {
    if (!this.#tokens) return;
    this.#forget();
    this.dispatchEvent(new Event("ended"));
  }

  /** Ends the session because the worker wants to. The refresh token is revoked where that works. */
  async signOut() {
    const refreshToken = this.#tokens?.refresh;
    this.#forget();
    this.dispatchEvent(new Event("signed-out"));
    try {
      await this.#cognito("RevokeToken", {
        ClientId: this.#config.user_pool_client_id,
        Token: refreshToken,
      });
    } catch (error) {
      // The tokens are gone from this browser either way; the token itself ends on its own date.
      if (!(error instanceof SignInError || error instanceof Unreachable)) throw error;
    }
  }

  async #refresh() {
    if (!this.#tokens) throw new SignedOut();
    let answer;
    try {
      answer = await this.#cognito("InitiateAuth", {
        AuthFlow: "REFRESH_TOKEN_AUTH",
        ClientId: this.#config.user_pool_client_id,
        AuthParameters: { REFRESH_TOKEN: this.#tokens.refresh },
      });
    } catch (error) {
      if (!(error instanceof SignInError)) throw error;
      this.end();
      throw new SignedOut();
    }
    this.#keep(answer.AuthenticationResult, this.#tokens.name);
  }

  #challengeOrSignedIn(answer, name) {
    if (answer.AuthenticationResult) {
      this.#keep(answer.AuthenticationResult, name);
      this.dispatchEvent(new Event("signed-in"));
      return null;
    }
    if (answer.ChallengeName !== "NEW_PASSWORD_REQUIRED") {
      throw new SignInError("This account asks for a second factor, which this page cannot do yet.");
    }
    const user = answer.ChallengeParameters?.USER_ID_FOR_SRP ?? name;
    return { session: answer.Session, user, name };
  }

  #keep(result, name) {
    const claims = tokenClaims(result.IdToken);
    this.#tokens = {
      id: result.IdToken,
      refresh: result.RefreshToken ?? this.#tokens.refresh,
      endsAt: Date.now() + result.ExpiresIn * 1000,
      user: claims.sub,
      name: claims["cognito:username"] === claims.sub ? name : claims["cognito:username"] ?? name,
    };
    sessionStorage.setItem(TOKENS, JSON.stringify(this.#tokens));
  }

  #forget() {
    this.#tokens = null;
    sessionStorage.removeItem(TOKENS);
  }

  async #cognito(action, body) {
    let response;
    let answer;
    try {
      response = await fetch(this.#config.cognito_endpoint, {
        method: "POST",
        headers: {
          "Content-Type": "application/x-amz-json-1.1",
          "X-Amz-Target": `AWSCognitoIdentityProviderService.${action}`,
        },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      const text = await response.text();
      answer = text ? JSON.parse(text) : {};
    } catch (error) {
      throw new Unreachable("Sign-in cannot be reached. Check the network, then try again.", { cause: error });
    }
    if (response.ok) return answer;
    if (response.status >= 500) throw new Unreachable("Sign-in does not work at the moment. Try again soon.");
    const type = String(answer.__type ?? "").split("#").at(-1);
    const ownWords = type === "InvalidPasswordException" ? answer.message : null;
    throw new SignInError(ownWords ?? SIGN_IN_ERRORS[type] ?? answer.message ?? "Sign-in failed.");
  }
}

/** The claims of a JSON web token, unverified: the server verifies, the page only reads the name. */
function tokenClaims(token) {
  const base64 = token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/");
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  return JSON.parse(new TextDecoder().decode(bytes));
}
