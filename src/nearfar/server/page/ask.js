// Asks the API: brings the token along, tells what went wrong in words, and notices when the server is gone.
const KEY = "nearfar-token";

export class Refused extends Error {
  constructor(status, body) {
    super(body.what || `the server answered ${status}`);
    this.status = status;
    this.remedy = body.remedy || "";
  }
}

export class Gone extends Error {}

export const setToken = (token) => sessionStorage.setItem(KEY, token);

export const ask = async (path, params = {}, signal = undefined) => {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    for (const each of Array.isArray(value) ? value : [value]) query.append(name, each);
  }
  const token = sessionStorage.getItem(KEY);
  let answer;
  try {
    answer = await fetch(query.size ? `${path}?${query}` : path, {signal, headers: token ? {authorization: `Bearer ${token}`} : {}});
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Gone();
  }
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(answer.status, body);
  return body;
};

// Only the last of several questions matters: an older one is given up, and its answer dropped.
export class Latest {
  async run(work) {
    this.control?.abort();
    const control = this.control = new AbortController();
    try {
      const made = await work(control.signal);
      return control === this.control ? made : undefined;
    } catch (error) {
      if (error.name === "AbortError" || control !== this.control) return undefined;
      throw error;
    }
  }
}
