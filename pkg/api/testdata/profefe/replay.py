#!/usr/bin/env python3
"""Replay the recorded profefe exchanges against a registry.

usage: replay.py BASE_URL [--original] [--file F] [--only TEXT] [--show] [-v]

  BASE_URL     e.g. http://127.0.0.1:10100 ; the registry must be freshly started and empty
  --original   judge by "original" where a step has it (the recorded answers of profefe itself)
  --file F     another exchanges file (default: exchanges.jsonl beside this script)
  --only TEXT  report only steps whose name holds TEXT (all steps are still sent, they build on each other)
  --except F   steps named in the file F, a line each, may fail
  --show       print every answer (status, type, length)
  -v           name the passing steps too

One line per failing step, then 'N passed, N failed'. Exit status 1 if a step failed, 2 on misuse.
Python 3.8+, standard library only.
"""
import calendar
import gzip
import hashlib
import http.client
import json
import os
import re
import sys
import time
import urllib.parse
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))


# ---------------------------------------------------------------- pprof reader

def _fields(buf, pos, end):
    """Yield (field number, wire type, value) of one protobuf message; bytes fields as (start, end)."""
    while pos < end:
        b = buf[pos]
        pos += 1
        key = b & 0x7F
        shift = 7
        while b & 0x80:
            b = buf[pos]
            pos += 1
            key |= (b & 0x7F) << shift
            shift += 7
        wire = key & 7
        if wire == 0 or wire == 2:
            b = buf[pos]
            pos += 1
            val = b & 0x7F
            shift = 7
            while b & 0x80:
                b = buf[pos]
                pos += 1
                val |= (b & 0x7F) << shift
                shift += 7
            if wire == 2:
                if pos + val > end:
                    raise ValueError("field runs over its message")
                yield key >> 3, 2, (pos, pos + val)
                pos += val
            else:
                yield key >> 3, 0, val & 0xFFFFFFFFFFFFFFFF
        elif wire == 1:
            yield key >> 3, 1, int.from_bytes(buf[pos:pos + 8], "little")
            pos += 8
        elif wire == 5:
            yield key >> 3, 5, int.from_bytes(buf[pos:pos + 4], "little")
            pos += 4
        else:
            raise ValueError("unknown wire type %d" % wire)


def _varints(buf, pos, end):
    out = []
    while pos < end:
        b = buf[pos]
        pos += 1
        val = b & 0x7F
        shift = 7
        while b & 0x80:
            b = buf[pos]
            pos += 1
            val |= (b & 0x7F) << shift
            shift += 7
        out.append(val & 0xFFFFFFFFFFFFFFFF)
    return out


def _signed(v):
    return v - (1 << 64) if v >> 63 else v


class Profile:
    """A decoded pprof profile, strings resolved."""

    def __init__(self, data):
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        if not data:
            raise ValueError("empty body")
        buf = data
        strings, types, samples, comments = [], [], [], []
        self.mappings, self.locations, self.functions = {}, {}, {}
        self.mapping_order = []
        ints = {7: 0, 8: 0, 9: 0, 10: 0, 12: 0, 14: 0, 15: 0}
        ptype = (0, 0)
        for num, wire, v in _fields(buf, 0, len(buf)):
            if num == 6:
                strings.append(buf[v[0]:v[1]].decode("utf-8", "replace"))
            elif num == 2:
                locs, vals, labels = [], [], []
                for n, w, x in _fields(buf, *v):
                    if n == 1:
                        locs.extend([x] if w == 0 else _varints(buf, *x))
                    elif n == 2:
                        vals.extend([x] if w == 0 else _varints(buf, *x))
                    elif n == 3:
                        lab = {1: 0, 2: 0, 3: 0, 4: 0}
                        for ln, _, lv in _fields(buf, *x):
                            lab[ln] = lv
                        labels.append((lab[1], lab[2], _signed(lab[3]), lab[4]))
                samples.append((locs, [_signed(i) for i in vals], labels))
            elif num == 1 or num == 11:
                t = {1: 0, 2: 0}
                for n, _, x in _fields(buf, *v):
                    t[n] = x
                if num == 1:
                    types.append((t[1], t[2]))
                else:
                    ptype = (t[1], t[2])
            elif num == 3:
                m = dict.fromkeys(range(1, 11), 0)
                for n, _, x in _fields(buf, *v):
                    m[n] = x
                self.mappings[m[1]] = m
                self.mapping_order.append(m[1])
            elif num == 4:
                loc = {1: 0, 2: 0, 3: 0, 5: 0}
                lines = []
                for n, _, x in _fields(buf, *v):
                    if n == 4:
                        ln = {1: 0, 2: 0, 3: 0}
                        for k, _, y in _fields(buf, *x):
                            ln[k] = y
                        lines.append((ln[1], _signed(ln[2]), _signed(ln[3])))
                    else:
                        loc[n] = x
                self.locations[loc[1]] = (loc[2], loc[3], lines, loc[5])
            elif num == 5:
                f = {1: 0, 2: 0, 3: 0, 4: 0, 5: 0}
                for n, _, x in _fields(buf, *v):
                    f[n] = x
                self.functions[f[1]] = (f[2], f[3], f[4], f[5])
            elif num == 13:
                comments.extend([v] if wire == 0 else _varints(buf, *v))
            elif num in ints:
                ints[num] = _signed(v)
        if not strings:
            raise ValueError("not a pprof profile (no string table)")
        s = self.strings = strings
        self.sample_types = ["%s/%s" % (s[a], s[b]) for a, b in types]
        self.period_type = "%s/%s" % (s[ptype[0]], s[ptype[1]])
        self.period = ints[12]
        self.time_nanos = ints[9]
        self.duration_nanos = ints[10]
        self.drop_frames = s[ints[7]]
        self.keep_frames = s[ints[8]]
        self.default_sample_type = s[ints[14]]
        self.doc_url = s[ints[15]]
        self.comments = [s[i] for i in comments]
        self.samples = samples

    def totals(self):
        out = [0] * len(self.sample_types)
        for _, vals, _ in self.samples:
            for i, v in enumerate(vals):
                out[i] += v
        return dict(zip(self.sample_types, out))

    def _symbolic(self, loc):
        """Location as text: function, file and line of every inlined frame, else the address."""
        addr, mid, lines = loc[1], loc[0], loc[2]
        if not lines:
            m = self.mappings.get(mid)
            return "0x%x@%s" % (addr, self.strings[m[5]] if m else "")
        s = self.strings
        return ";".join("%s|%s|%d" % (s[self.functions[f][0]], s[self.functions[f][2]], n) if f in self.functions
                        else "?|%d" % n for f, n, _ in lines)

    def _mapping(self, mid):
        m, s = self.mappings.get(mid), self.strings
        return (m[2], m[3], m[4], s[m[5]], s[m[6]], m[7], m[8], m[9], m[10]) if m else ()

    def _exact(self, loc):
        mid, addr, lines, folded = loc
        s = self.strings
        return repr((addr, folded, self._mapping(mid), [(tuple(s[i] for i in self.functions[f][:3]) + self.functions[f][3:]
                                         if f in self.functions else (), n, c) for f, n, c in lines]))

    def _labels(self, labels):
        s = self.strings
        return sorted((s[k], s[v], n, s[u]) for k, v, n, u in labels)

    def stacks_digest(self):
        """Order- and id-free hash of the samples: equal symbolic stacks and labels are summed."""
        names = {i: self._symbolic(loc) for i, loc in self.locations.items()}
        acc = {}
        for locs, vals, labels in self.samples:
            key = ("\n".join(names.get(i, "?") for i in locs), repr(self._labels(labels)))
            old = acc.get(key)
            acc[key] = [a + b for a, b in zip(old, vals)] if old else vals
        h = hashlib.sha256()
        for key in sorted(acc):
            if any(acc[key]):
                h.update(("%s\n%s\n%s\n\n" % (key[0], key[1], acc[key])).encode("utf-8", "surrogatepass"))
        return h.hexdigest()[:32]

    def exact_digest(self):
        """Hash of everything a reader can see, free of ids and orders; every sample on its own."""
        names = {i: self._exact(loc) for i, loc in self.locations.items()}
        rows = sorted(repr(([names.get(i, "?") for i in locs], vals, self._labels(labels)))
                      for locs, vals, labels in self.samples)
        maps = [self._mapping(i) for i in self.mapping_order]
        head = repr((maps[:1], sorted(maps), self.sample_types, self.period_type, self.period, self.time_nanos, self.duration_nanos,
                     self.drop_frames, self.keep_frames, self.default_sample_type, self.comments, self.doc_url, len(rows)))
        return hashlib.sha256((head + "\n" + "\n".join(rows)).encode("utf-8", "surrogatepass")).hexdigest()[:32]

    def summary(self):
        return {"sample_types": self.sample_types, "totals": self.totals(), "samples": len(self.samples),
                "duration_nanos": self.duration_nanos, "period_type": self.period_type, "period": self.period,
                "time_nanos": self.time_nanos,
                "comments": sorted(self.comments), "stacks": self.stacks_digest()}


# ---------------------------------------------------------------- HTTP

class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body


def send(base, method, path, headers=None, body=None, chunked=False, timeout=60):
    """Send the path exactly as given (no normalisation, no redirects followed)."""
    u = urllib.parse.urlsplit(base)
    conn = http.client.HTTPConnection(u.hostname, u.port or 80, timeout=timeout)
    try:
        conn.putrequest(method, path, skip_accept_encoding=True)
        for k, v in (headers or {}).items():
            conn.putheader(k, v)
        if chunked:
            conn.putheader("Transfer-Encoding", "chunked")
            conn.endheaders()
            step = 8192
            for i in range(0, len(body or b""), step):
                part = body[i:i + step]
                conn.send(b"%x\r\n%s\r\n" % (len(part), part))
            conn.send(b"0\r\n\r\n")
        else:
            if body is not None or method in ("POST", "PUT", "PATCH"):
                conn.putheader("Content-Length", str(len(body or b"")))
            conn.endheaders()
            if body:
                conn.send(body)
        r = conn.getresponse()
        data = r.read()
        return Answer(r.status, {k.lower(): v for k, v in r.getheaders()}, data)
    finally:
        conn.close()


# ---------------------------------------------------------------- comparing

class Vars(dict):
    PAT = re.compile(r"\{\{id:([A-Za-z0-9_]+)(\|[^}]*)?\}\}")

    def fill(self, text, quote=False):
        def one(m):
            v = self.get(m.group(1))
            if v is None:
                raise KeyError("id '%s' was never saved" % m.group(1))
            mod = (m.group(2) or "|")[1:]
            if mod == "upper":
                v = v.upper()
            elif mod.startswith("cut"):
                v = v[:-int(mod[3:])]
            return urllib.parse.quote(v, safe="") if quote else v
        return self.PAT.sub(one, text)


def created_at_secs(text):
    m = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)Z", text)
    return calendar.timegm(time.strptime(m.group(1), "%Y-%m-%dT%H:%M:%S")) if m else None


def compare(want, got, vs, status, path="body"):
    """First difference between the wanted and the received JSON value, or None."""
    if isinstance(want, str):
        if want == "{{any}}":
            return None if isinstance(got, str) else "%s: wanted a string, got %r" % (path, got)
        if want == "{{status}}":
            return None if got == status else "%s: wanted the status %d, got %r" % (path, status, got)
        if want == "{{now}}":
            t = created_at_secs(got) if isinstance(got, str) else None
            ok = t is not None and abs(time.time() - t) < 300
            return None if ok else "%s: wanted the present time in whole seconds with Z, got %r" % (path, got)
        if want.startswith("{{contains:") and want.endswith("}}"):
            part = vs.fill(want[11:-2])
            return None if isinstance(got, str) and part in got else "%s: wanted text holding %r, got %r" % (path, part, got)
        want = vs.fill(want)
        return None if want == got else "%s: wanted %r, got %r" % (path, want, got)
    if isinstance(want, dict):
        if not isinstance(got, dict):
            return "%s: wanted an object, got %r" % (path, got)
        for k in want:
            if k not in got:
                return "%s.%s is missing" % (path, k)
            d = compare(want[k], got[k], vs, status, "%s.%s" % (path, k))
            if d:
                return d
        extra = [k for k in got if k not in want]
        return "%s has unexpected keys %s" % (path, extra) if extra else None
    if isinstance(want, list):
        if not isinstance(got, list):
            return "%s: wanted a list, got %r" % (path, got)
        if len(want) != len(got):
            return "%s: wanted %d entries, got %d" % (path, len(want), len(got))
        if want and all(isinstance(w, dict) and "created_at" in w for w in want):
            return compare_profiles(want, got, vs, status, path)
        for i, w in enumerate(want):
            d = compare(w, got[i], vs, status, "%s[%d]" % (path, i))
            if d:
                return d
        return None
    return None if type(want) is type(got) and want == got else "%s: wanted %r, got %r" % (path, want, got)


def compare_profiles(want, got, vs, status, path):
    """Lists of profiles: ascending created_at; entries of the same second in any order."""
    i = 0
    while i < len(want):
        j = i
        while j < len(want) and want[j]["created_at"] == want[i]["created_at"]:
            j += 1
        rest = list(got[i:j])
        for k in range(i, j):
            diffs = [compare(want[k], g, vs, status, "%s[%d]" % (path, k)) for g in rest]
            if None in diffs:
                rest.pop(diffs.index(None))
            else:
                return diffs[0]
        i = j
    return None


def read_file(name, base_dir):
    with open(os.path.join(base_dir, name), "rb") as f:
        return f.read()


def check(expect, ans, vs, base_dir):
    """List of differences between an expectation and an answer (empty: the step passes)."""
    out = []
    want = expect.get("status")
    if want is not None:
        allowed = want if isinstance(want, list) else [want]
        if ans.status not in allowed:
            out.append("status: wanted %s, got %d (%r)" % (want, ans.status, ans.body[:100]))
    for key, header in (("content_type", "content-type"), ("content_disposition", "content-disposition"),
                        ("location", "location")):
        if key in expect:
            w, g = vs.fill(expect[key]), ans.headers.get(header)
            if g is None or (g.replace(" ", "").lower() != w.replace(" ", "").lower() if key == "content_type" else g != w):
                out.append("%s: wanted %r, got %r" % (header, w, g))
    if "allow" in expect:
        g = {x.strip() for x in (ans.headers.get("allow") or "").split(",")}
        miss = [m for m in expect["allow"] if m not in g]
        if miss:
            out.append("allow: %s not named in %r" % (miss, ans.headers.get("allow")))
    if "json" in expect:
        try:
            got = json.loads(ans.body.decode("utf-8"))
        except ValueError:
            out.append("body: wanted JSON, got %r" % ans.body[:80])
        else:
            d = compare(expect["json"], got, vs, ans.status, "json")
            if d:
                out.append(d)
    if "body_len" in expect and len(ans.body) != expect["body_len"]:
        out.append("body: wanted %d bytes, got %d" % (expect["body_len"], len(ans.body)))
    if "body_same_as_file" in expect and ans.body != read_file(expect["body_same_as_file"], base_dir):
        out.append("body: %d bytes, not the bytes of %s" % (len(ans.body), expect["body_same_as_file"]))
    if "profile_same_as_file" in expect:
        ref = read_file(expect["profile_same_as_file"], base_dir)
        if ans.body != ref:
            try:
                a, b = Profile(ans.body), Profile(ref)
            except (ValueError, IndexError, KeyError, OSError, EOFError, zlib.error) as e:
                out.append("body: not a readable profile (%s)" % e)
            else:
                if a.exact_digest() != b.exact_digest():
                    d = diff_summary(b.summary(), a.summary())
                    out.append("profile differs from %s: %s" % (expect["profile_same_as_file"], d or "frames, labels or comments"))
    if "profile" in expect:
        try:
            got = Profile(ans.body).summary()
        except (ValueError, IndexError, KeyError, OSError, EOFError, zlib.error) as e:
            out.append("body: not a readable profile (%s)" % e)
        else:
            d = diff_summary(expect["profile"], got)
            if d:
                out.append("profile: " + d)
    return out


def diff_summary(want, got):
    return ", ".join("%s wanted %s got %s" % (k, want[k], got[k]) for k in want if want[k] != got[k])


def dig(value, dotted):
    for part in dotted.split("."):
        if isinstance(value, list):
            value = value[int(part)] if int(part) < len(value) else None
        else:
            value = value.get(part) if isinstance(value, dict) else None
    return value


def run_step(base, step, vs, base_dir):
    body = read_file(step["body_file"], base_dir) if "body_file" in step else None
    ans = send(base, step["method"], vs.fill(step["path"], quote=True), step.get("headers"), body, step.get("chunked", False))
    for name, where in step.get("save", {}).items():
        vs.pop(name, None)
        try:
            v = dig(json.loads(ans.body.decode("utf-8")), where)
        except ValueError:
            v = None
        if isinstance(v, str) and v:
            vs[name] = v
    return ans


def load(path):
    with open(path, encoding="utf-8") as f:
        return [json.loads(line) for line in f if line.strip()]


def replay(base, path, original=False, only="", show=False, verbose=False, out=sys.stdout, may_fail=()):
    vs, ok, bad = Vars(), 0, 0
    base_dir = os.path.dirname(os.path.abspath(path))
    for step in load(path):
        try:
            ans = run_step(base, step, vs, base_dir)
            expect = step.get("original", step["expect"]) if original else step["expect"]
            diffs = check(expect, ans, vs, base_dir)
            if show:
                print("%s: %d %s %d bytes" % (step["name"], ans.status, ans.headers.get("content-type"), len(ans.body)), file=out)
        except (OSError, http.client.HTTPException) as e:
            diffs = ["no answer: %s: %s" % (type(e).__name__, e)]
        except KeyError as e:
            diffs = ["cannot be sent or judged: %s" % e]
        if only not in step["name"]:
            continue
        if diffs and step["name"] in may_fail:
            print("skip %s" % step["name"], file=out)
        elif diffs:
            bad += 1
            print("FAIL %s: %s" % (step["name"], "; ".join(diffs)), file=out)
        else:
            ok += 1
            if verbose:
                print("ok   %s" % step["name"], file=out)
    return ok, bad


def main(argv):
    args, opts, i = [], {"--file": os.path.join(HERE, "exchanges.jsonl"), "--only": "", "--except": ""}, 0
    flags = set()
    while i < len(argv):
        a = argv[i]
        if a in opts and i + 1 < len(argv):
            i += 1
            opts[a] = argv[i]
        elif a in ("--original", "--show", "-v"):
            flags.add(a)
        elif a.startswith("-"):
            print(__doc__, file=sys.stderr)
            return 2
        else:
            args.append(a)
        i += 1
    if len(args) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    may_fail = open(opts["--except"]).read().split() if opts["--except"] else ()
    ok, bad = replay(args[0].rstrip("/"), opts["--file"], "--original" in flags, opts["--only"], "--show" in flags, "-v" in flags, may_fail=may_fail)
    print("%d passed, %d failed" % (ok, bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
