"""Requests of the corpus's kinds that the corpus does not have; `answers.jsonl` has what Kubernetes makes of them, in this order.

The answers are those of `RequestInfoFactory`, the option conversions and `net/http` of Kubernetes 1.36.2 (Go 1.26), recorded once.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator
from itertools import product
from typing import Any
from urllib.parse import quote

SECRETS = "/api/v1/namespaces/default/secrets"
SECRET = SECRETS + "/foo"
POD = "/api/v1/namespaces/default/pods/p1"
JSON = [["Content-Type", "application/json"]]
WEBSOCKET = [
    ["Connection", "Upgrade"], ["Upgrade", "websocket"], ["Sec-WebSocket-Version", "13"],
    ["Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="], ["Sec-WebSocket-Protocol", "v5.channel.k8s.io"],
]  # fmt: skip
SPDY = [["Connection", "Upgrade"], ["Upgrade", "SPDY/3.1"], ["X-Stream-Protocol-Version", "v4.channel.k8s.io"]]

BOOLEANS = (
    "true", "True", "TRUE", "tRuE", "1", "01", "2", "10", "-0", "+1", "0x0", "0x1", "false", "False", "FALSE", "fAlSe", "fal\u017fe", "\uff10",
    "0", "000", "0 ", " 0", " false", "false\t", "f", "F", "t", "T", "n", "N", "y", "Y", "no", "No", "yes", "on", "off", "null", "nil", "none",
    "undefined", "", "\x00", "0\x00", "false\n", "falsefalse", "false,true", "true,false", '"false"', "'0'", "[false]", "\u200bfalse",
)  # fmt: skip
INTEGERS = (
    "0", "1", "-1", "+1", "007", "-0", "+0", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809",
    "18446744073709551615", "18446744073709551616", "1e3", "1.0", "1_000", "0x10", "0b1", "0o7", "", " 1", "1 ", "abc", "1s", "\u0661", "\uff11",
    "--1", "+-1", "+", "-", "null", "true", "99999999999999999999x", "1" * 30, "0" * 40 + "5", "1\x00",
)  # fmt: skip
FIELD_SELECTORS = (
    "metadata.name=a", "metadata.name==a", "metadata.name===a", "metadata.name!=a", "metadata.name=!a", "metadata.name=", "metadata.name==",
    "=a", "=", "==", "!=",
    "!", ",", ",,", "metadata.name", "metadata.name=a,", ",metadata.name=a", "metadata.name=a,metadata.name=b", "metadata.name=b,metadata.name=a",
    "metadata.name=b,metadata.name==a", "metadata.name==b,metadata.name=a", "metadata.name!=a,metadata.name=b",
    "metadata.name=a,metadata.namespace=b",
    "metadata.namespace=b", "metadata.namespace=kube-system,metadata.name=x", "metadata.name=a\\,b", "metadata.name=a\\=b", "metadata.name=a\\\\b",
    "metadata.name=a\\b", "metadata.name=a\\", "metadata.name=a=b", "metadata.name=a,b", "metadata.name=a/b", "metadata.name=.", "metadata.name=..",
    "metadata.name=...", "metadata.name=a%b", "metadata.name=%2e", "metadata.name=A", "metadata.name=a b", " metadata.name=a",
    "metadata.name =a", "metadata.name= a",
    "metadata.name=\xe9", "metadata.name=\u202ea", "metadata.name=a\n", "metadata.name=\x00", "metadata.name in (a)", "metadata.name>a",
    "metadata..name=a",
    "Metadata.name=a", "spec.nodeName=n1", "spec.nodeName!=n1,metadata.name=a", "status.phase=Running,spec.restartPolicy=Always",
    "involvedObject.kind=Pod,involvedObject.name=p1,involvedObject.namespace=default", "type=Opaque,metadata.name=foo",
    "reason!=x,type!=Normal", "a=b", "a!=b!=c",
    "a\\=b=c", "metadata\\.name=a", "metadata.name=" + "x" * 300, "metadata.name=*", "metadata.name=system:node", "metadata.name=a;b",
    "metadata.name=a&b", "metadata.name=a+b",
)  # fmt: skip
LABEL_SELECTORS = (
    "a", "!a", "a=b", "a==b", "a!=b", "a in (b)", "a in (b,c)", "a in (c,b,b)", "a notin (b)", "a in ()", "a in (,)", "a in (b,)", "a in b",
    "in", "in in (in)",
    "notin=x", "a>1", "a<1", "a>b", "a>1,a<5", "a,b,!c,d=e", "b=1,a=2", "a=", "a=,b=", "=a", "=", "a,", ",a", ",", "a b", "a=b c", "a=b,,c",
    "(((", ")", "a()", "a=(b)",
    "x.io/a=b", "x.io/a in (b)", "X.io/a", "/a", "a/", "x/y/z", "-a", "a-", "_a", "a=-b", "a=b-", "a=b_c.d-e", "a=b/c", "a=\xe9", "\xe9",
    "a" * 63, "a" * 64,
    "a=" + "b" * 63, "a=" + "b" * 64, "x" * 253 + "/a", "x" * 254 + "/a", " a = b ", "a\t=\nb", "a in\t( b , c )", "a\x00", "a=b\x00", "\x00",
    "a!b", "a=!b", "!!a", "! a", "!a=b",
    "a<>b", "a=>b", "a=<1", "a>=1", "a>>1", "app.kubernetes.io/name=x,app.kubernetes.io/instance notin (y,z),tier", "a>99999999999999999999",
    "a>-5", "a in (-,_)",
)  # fmt: skip
QUERIES = (
    "watch", "watch=", "&watch", "watch&", "&&&watch&&&", "watch=1&watch", "watch=0&watch=1", "watch=1&watch=0", "watch=&watch=0", "WATCH=1",
    "Watch=1", "watch%3D1", "%77atch=1",
    "watch%00=1", "watch=1%26watch=0", "watch=1;watch=0", ";watch=1", "watch=1;", "a;b&watch=1", "watch;=1", "watch=%31", "watch=%3", "watch=%",
    "watch=%zz", "watch=%30&watch=1",
    "%zz&watch=1", "w%zztch=1&watch=0", "watch=1&%", "watch==1", "=watch", "=1&watch=1", "watch=1=0", "watch+=1", "+watch=1", "watch=+1",
    "watch=1+", "watch=%201", "watch[]=1", "watch[0]=1",
    "watch.x=1", "?watch=1", "watch=1?", "watch=1?watch=0", "x=%00&watch=1", "watch=1&x=%ff", "watch=%ff", "watch=\xff", "wat\xe7h=1",
    "watch=1#", "watch=0#x", "#watch=1", "watch=1/../", "watch=1&watch=%",
    "follow=1", "resourceVersion=0&watch=1", "resourceVersion=abc&watch=1", "resourceVersion=-1", "resourceVersion=",
    "resourceVersionMatch=Exact&resourceVersion=5",
    "resourceVersionMatch=exact", "continue=abc&limit=5", "continue=%00", "continue=a%2Bb%2Fc%3D", "continue=a+b",
    "limit=500&continue=eyJ2IjoibWV0YSJ9&resourceVersion=1", "allowWatchBookmarks=true&watch=true",
    "allowWatchBookmarks=0&watch=1", "sendInitialEvents=true&watch=1&resourceVersionMatch=NotOlderThan", "sendInitialEvents=&watch=1",
    "sendInitialEvents=false", "sendInitialEvents=0&sendInitialEvents=1",
    "timeoutSeconds=30&watch=1", "timeout=30s", "timeout=abc", "timeout=", "timeout=-1s&watch=1", "pretty=true", "pretty=false", "pretty",
    "includeObject=Object", "includeObject=Metadata&watch=1", "includeObject=bogus",
    "shardSelector=x", "fieldSelector=metadata.name%3Da&limit=x", "fieldSelector=metadata.name%3Da&watch=x",
    "fieldSelector=metadata.name%3Da&labelSelector=(", "fieldSelector=metadata.name%3Da&labelSelector=b",
    "fieldSelector=metadata.name%3Da&timeoutSeconds=", "fieldSelector=metadata.name=a&fieldSelector=metadata.name=b",
    "fieldSelector=&fieldSelector=metadata.name=b", "fieldSelector=%6detadata.name=a",
    "fieldSelector=metadata.name%253Da", "FieldSelector=metadata.name=a", "fieldSelector[]=metadata.name=a", "labelSelector=a&labelSelector=b",
    "labelSelector=a;b", "labelSelector=a%3Bb", "dryRun=All", "gracePeriodSeconds=0",
    "kind=Secret", "apiVersion=v1", "_=1", "a" * 5000 + "=1&watch=1",
)  # fmt: skip
SEGMENTS = (
    "%73ecrets", "secret%73", "%53ecrets", "secrets%2F", "secrets%2f", "secrets%2Ffoo", "secrets%5Cfoo", "secrets%00", "secrets%20",
    "%20secrets", "secrets%0a", "secrets%0d%0a", "secrets%09",
    "secrets%3F", "secrets%3Fwatch=1", "secrets%23", "secrets%26", "secrets%3D", "secrets%2B", "secrets+", "secrets%25", "secrets%252F",
    "secrets%25%32%46", "secrets%2E", "secrets.", "%2e", "%2e%2e", ".%2e", "%2e.", "..%2F", "%2F..",
    "%2e%2e%2fpods", "%c0%af", "%c0%ae%c0%ae", "%e2%80%8b", "%E2%80%AE", "%ef%bc%8f", "%u0073ecrets", "secrets%zz", "secrets%2", "secrets%",
    "%%", "secrets;a", "secrets;a=1;b", "secrets%3ba", ";secrets", "secrets,pods", "secrets|pods", "secrets<x>", "secrets{x}", "secrets[x]",
    "secrets^", "secrets`", 'secrets"', "secrets'", "secrets$",
    "secrets!", "secrets(1)", "secrets~", "secrets*", "secrets@v1", "secrets:v1", "secrets=1", "secrets&watch=1", "secrets\\foo", "secrets\\..",
    "s\u0435crets", "\uff53ecrets", "se\u200bcrets", "secrets\u00a0", "\u202esecrets", "Secrets", "SECRETS", "sEcrets", "secret", "secrets.v1",
    "secrets.v1.", "-", "_", ".secrets", "...", "....", "1", "%31", "",
)  # fmt: skip
RESOURCE_PATHS = (
    "/api/v1/pods", "/api/v1/nodes", "/api/v1/nodes/n1", "/api/v1/nodes/n1/proxy", "/api/v1/nodes/n1/proxy/",
    "/api/v1/nodes/n1/proxy/run/ns/p/c?cmd=id", "/api/v1/nodes/n1/proxy/containerLogs/ns/p/c", "/api/v1/nodes/n1:10255/proxy/pods",
    "/api/v1/nodes/n1/status", "/api/v1/namespaces", "/api/v1/namespaces/", "/api/v1/namespaces/a", "/api/v1/namespaces/a/",
    "/api/v1/namespaces/a/status", "/api/v1/namespaces/a/finalize", "/api/v1/namespaces/a/finalize/x",
    "/api/v1/namespaces/a/status/", "/api/v1/namespaces/a/Status", "/api/v1/namespaces/a/namespaces", "/api/v1/namespaces/a/namespaces/b",
    "/api/v1/namespaces/a/nodes", "/api/v1/namespaces/a/pods/p/log?follow",
    "/api/v1/namespaces/a/pods/p/log?tailLines=5&sinceTime=2024-01-02T03:04:05Z",
    "/api/v1/namespaces/a/pods/p/log?sinceTime=abc", "/api/v1/namespaces/a/pods/p/log?sinceTime=2024-13-01T00:00:00Z",
    "/api/v1/namespaces/a/pods/p/log?sinceTime=2024-02-30T00:00:00Z", "/api/v1/namespaces/a/pods/p/log?sinceTime=2024-01-01T00:00:00",
    "/api/v1/namespaces/a/pods/p/log?sinceTime=", "/api/v1/namespaces/a/pods/p/log?sinceTime=null",
    "/api/v1/namespaces/a/pods/p/log?sinceTime=2024-01-01T00:00:00%2B01:00",
    "/api/v1/namespaces/a/pods/p/log?sinceTime=2024-01-01T00:00:00+01:00", "/api/v1/namespaces/a/pods/p/log?sinceTime=2024-01-01T0:00:00Zx",
    "/api/v1/namespaces/a/pods/p/log?tailLines=-1", "/api/v1/namespaces/a/pods/p/log?tailLines=x",
    "/api/v1/namespaces/a/pods/p/log?limitBytes=0&sinceSeconds=abc",
    "/api/v1/namespaces/a/pods/p/log?container=a&container=b", "/api/v1/namespaces/a/pods/p/log?stream=All&timestamps=1",
    "/api/v1/namespaces/a/pods/p/log?stream=", "/api/v1/namespaces/a/pods/p/log?stream", "/api/v1/namespaces/a/pods/p/log/",
    "/api/v1/namespaces/a/pods/p/logs?follow=1",
    "/api/v1/namespaces/a/pods/p/portforward", "/api/v1/namespaces/a/pods/p/portforward?ports=80",
    "/api/v1/namespaces/a/pods/p/portforward?ports=80,443", "/api/v1/namespaces/a/pods/p/portforward?ports=80&ports=443,8080",
    "/api/v1/namespaces/a/pods/p/portforward?ports=", "/api/v1/namespaces/a/pods/p/portforward?ports=65535",
    "/api/v1/namespaces/a/pods/p/portforward?ports=65536", "/api/v1/namespaces/a/pods/p/portforward?ports=-1",
    "/api/v1/namespaces/a/pods/p/portforward?ports=0", "/api/v1/namespaces/a/pods/p/portforward?ports=http",
    "/api/v1/namespaces/a/pods/p/portforward?ports=+80", "/api/v1/namespaces/a/pods/p/portforward?ports=080",
    "/api/v1/namespaces/a/pods/p/portforward?Ports=80",
    "/api/v1/namespaces/a/pods/p/attach?stdin=1&tty=1&container=c", "/api/v1/namespaces/a/pods/p/attach?stdin=false&stdout=0",
    "/api/v1/namespaces/a/pods/p/attach/", "/api/v1/namespaces/a/pods/p/exec", "/api/v1/namespaces/a/pods/p/exec/",
    "/api/v1/namespaces/a/pods/p/exec?command=sh&command=-c&command=ls%20%2F&stdout=1",
    "/api/v1/namespaces/a/pods/p/exec?command=a%0Ab&stdin=yes", "/api/v1/namespaces/a/pods/p/exec?command",
    "/api/v1/namespaces/a/pods/p/exec?command=&command=", "/api/v1/namespaces/a/pods/p/exec?command=a;b",
    "/api/v1/namespaces/a/pods/p/exec?command=a&command=%zz&command=c", "/api/v1/namespaces/a/pods/p/exec?command=a+b",
    "/api/v1/namespaces/a/pods/p/exec?command=%E2%80%AE",
    "/api/v1/namespaces/a/pods/p/exec?command=id&container=", "/api/v1/namespaces/a/pods/p/exec?tty=true&tty=false&command=id",
    "/api/v1/namespaces/a/pods/p/exec?STDIN=true&command=id", "/api/v1/namespaces/a/pods/p/exec?command=id&timeout=10",
    "/api/v1/namespaces/a/pods/p/ephemeralcontainers", "/api/v1/namespaces/a/pods/p/resize", "/api/v1/namespaces/a/pods/p/status",
    "/api/v1/namespaces/a/pods/p/binding",
    "/api/v1/namespaces/a/pods/p/eviction", "/api/v1/namespaces/a/pods/p/proxy/", "/api/v1/namespaces/a/pods/p:8080/proxy/x/y?z=1",
    "/api/v1/namespaces/a/pods/https:p:8443/proxy/", "/api/v1/namespaces/a/pods/p/proxy?path=x&path=y",
    "/api/v1/namespaces/a/services/s/proxy", "/api/v1/namespaces/a/services/s:http/proxy/a//b",
    "/api/v1/namespaces/a/services/https:s:/proxy/", "/api/v1/namespaces/a/services/s/status",
    "/api/v1/namespaces/a/serviceaccounts/s/token", "/api/v1/namespaces/a/replicationcontrollers/r/scale", "/api/v1/namespaces/a/bindings",
    "/api/v1/componentstatuses/x", "/api/v1/persistentvolumes/p/status", "/apis/apps/v1/deployments",
    "/apis/apps/v1/namespaces/a/deployments/d/scale", "/apis/apps/v1/namespaces/a/deployments/d/status",
    "/apis/apps/v1/namespaces/a/statefulsets/s", "/apis/apps/v1/namespaces/a/controllerrevisions",
    "/apis/apps/v1/namespaces/a/finalize", "/apis/batch/v1/namespaces/a/jobs", "/apis/batch/v1/namespaces/a/cronjobs/c/status",
    "/apis/certificates.k8s.io/v1/certificatesigningrequests/c/approval", "/apis/certificates.k8s.io/v1/certificatesigningrequests/c/status",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node", "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode",
    "/apis/rbac.authorization.k8s.io/v1/namespaces/a/rolebindings",
    "/apis/authorization.k8s.io/v1/subjectaccessreviews", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/c/status",
    "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations", "/apis/apiregistration.k8s.io/v1/apiservices/v1.x/status",
    "/apis/policy/v1/namespaces/a/poddisruptionbudgets", "/apis/autoscaling/v2/namespaces/a/horizontalpodautoscalers/h",
    "/apis/metrics.k8s.io/v1beta1/namespaces/a/pods", "/apis/metrics.k8s.io/v1beta1/nodes/n1",
    "/apis/custom.metrics.k8s.io/v1beta1/namespaces/a/pods/*/http_requests", "/apis/external.metrics.k8s.io/v1beta1/namespaces/a/queue",
    "/apis/custom.metrics.k8s.io/v1beta1/namespaces/a/metrics/x", "/apis/argoproj.io/v1alpha1/namespaces/a/workflows/w",
    "/apis/example.com/v1/widgets/w/scale", "/apis/example.com/v1/namespaces/a/widgets/w/watch",
    "/apis/example.com/v1/namespaces/a/watch/x", "/apis/example.com/v1/watch", "/apis/example.com/v1/watch/", "/apis/example.com/v1/watch/x",
    "/apis/example.com/v1/proxy", "/apis/example.com/v1/proxy/x/y/z", "/apis/example.com/v1/watch/namespaces",
    "/apis/example.com/v1/watch/namespaces/a", "/apis/example.com/v1/watch/namespaces/a/b/c/d", "/apis/watch/v1/x", "/apis/x/watch/y",
    "/api/watch/pods", "/api/watch/watch/pods", "/api/v1/watch/proxy/x", "/api/v1/proxy/watch/x",
    "/api/v1/watch//", "/api/v1/watch//pods", "/api/v1/watch/namespaces/", "/api/v1/watch/namespaces//", "/api/v1/watch/namespaces//pods",
    "/api/v1/watch/namespaces/a/status", "/api/v1/watch/namespaces/a/pods/p", "/api/v1/watch/namespaces/a/pods/p/status",
    "/api/v1/watch/pods?watch=0", "/api/v1/watch/pods?fieldSelector=metadata.name=a&labelSelector=b", "/api/v1/WATCH/pods",
    "/api/v1/%77%61%74%63%68/pods", "/api/v1/watch%2Fpods", "/api/v1/proxy/nodes/n1/x/y", "/api/v1/proxy/services/s", "/api/v1/proxy/",
    "/api/v1/Proxy/nodes/n1",
)  # fmt: skip
OTHER_PATHS = (
    "/", "//", "///", "/api", "/api/", "/api//", "//api", "/api/v1", "/api/v1/", "/api/v1//", "/api//v1", "/api//v1/pods", "/api///pods",
    "/api/v1//pods", "/api/v1///pods", "/api/v1/pods//", "/api/v1/pods///", "/apis", "/apis/", "/apis//", "/apis/apps", "/apis/apps/",
    "/apis/apps//", "/apis/apps/v1", "/apis/apps/v1/", "/apis/apps/v1//", "/apis//v1", "/apis//v1/x", "/apis///x", "/apis/apps//x",
    "/apis/apps/v1//x",
    "/apis/v1/pods", "/API/v1/pods", "/Api/v1/pods", "/APIS/apps/v1/x", "/api/V1/pods", "/api/v2/pods", "/api/v1beta1/pods",
    "/apis/APPS/v1/deployments", "/apis/core/v1/pods", "/apis/ /v1/x", "/healthz", "/healthz/", "/healthz/ping", "/healthz?verbose",
    "/healthz?exclude=etcd&exclude=ping", "/livez", "/livez/ping", "/livez?verbose=1", "/readyz", "/readyz?verbose", "/readyz/etcd",
    "/metrics", "/metrics/slis", "/metrics/resources", "/version", "/version/", "/version/x",
    "/openapi", "/openapi/v2", "/openapi/v3", "/openapi/v3/", "/openapi/v3/apis/apps/v1", "/openapi/v3/api/v1?hash=A&x=1", "/swaggerapi",
    "/swagger-ui/", "/ui", "/ui/", "/logs", "/logs/x/y", "/debug/pprof", "/debug/pprof/", "/debug/pprof/profile?seconds=1", "/debug/flags/v",
    "/debug/api_priority_and_fairness/dump_queues", "/flagz", "/statusz", "/configz", "/.well-known/openid-configuration", "/.well-known/",
    "/openid/v1/jwks", "/favicon.ico", "/robots.txt", "/x", "/x/y/z", "/a/b/c/d/e/f",
    "/../api/v1/pods", "/./api/v1/pods", "/x/../api/v1/pods", "/api/../api/v1/pods", "/api/v1/../v1/pods", "/api/v1/./pods", "/api/v1/pods/.",
    "/api/v1/pods/..", "/api/v1/pods/./", "/api/v1/pods/../nodes", "/api/v1/namespaces/../pods", "/api/v1/namespaces/a/../b/pods",
    "/api/v1/namespaces/.", "/api/v1/namespaces/..", "/api/v1/namespaces/%2e%2e/pods", "/healthz/..", "/healthz/../metrics", "/..", "/.",
    "/%2e%2e/", "/api/v1/namespaces/%20/pods", "/api/v1/namespaces/a%2Fpods", "/api%2Fv1%2Fpods", "/api/v1%2F%2Fpods", "/%2Fapi/v1/pods",
    "/api/v1/pods%2F%2F", "/%00", "/api\\v1\\pods", "/api/v1/pods?",
    "/api/v1/pods??", "/api/v1/pods?#", "/api/v1/pods#", "/api/v1/pods#?watch=1", "/#/api/v1/pods", "/api/v1/namespaces//",
    "/api/v1/namespaces//pods/p", "/api/v1/namespaces///pods", "/api/v1/namespaces//status", "/api/v1/namespaces//finalize",
    "/api/v1/namespaces/a//pods", "/api/v1/namespaces/a//", "/api/v1/namespaces/a/pods//", "/api/v1/namespaces/a/pods//log",
    "/api/v1/namespaces/a/pods/p//", "/api/v1/namespaces/a/pods/p//log", "/api/v1/namespaces/a/pods/p/log//", "/api/v1/namespaces/a/pods//p",
    "/api/v1/pods/foo/bar/baz/qux/quux", "/api/v1/pods/:", "/api/v1/pods/a:b:c", "/api/v1/pods/*", "/api/v1/pods/%2a", "/api/v1/pods/@",
    "/api/v1/pods/%40", "/api/v1/pods/~", "/api/v1/pods/a=b", "/api/v1/pods/a,b", "/api/v1/pods/a+b", "/api/v1/pods/a%2Bb",
    "/api/v1/pods/a%20b", "/api/v1/pods/a&b", "/api/v1/pods/" + "x" * 300, "/api/v1" + "/x" * 300,
)  # fmt: skip
TARGETS = (
    "*", "http://h", "http://h/", "http://h/api/v1/pods", "HTTP://h/api/v1/pods", "https://h/api/v1/secrets?watch=1",
    "https://h:6443/api/v1/pods", "https://h:/api/v1/pods", "https://h:x/api/v1/pods", "https://h:80:90/api/v1/pods", "ftp://h/api/v1/pods",
    "ws://h/api/v1/pods", "http:/api/v1/pods", "http:api/v1/pods",
    "http:", "http://", "http:///api/v1/pods", "http://u@h/api/v1/pods", "http://u:p@h/api/v1/pods", "http://u:p@h@i/api/v1/pods",
    "http://[::1]/api/v1/pods", "http://[::1]:80/api/v1/pods", "http://[::1/api/v1/pods", "http://[v1.x]/api/v1/pods",
    "http://[::1%25lo]/api/v1/pods", "http://h%2Fx/api/v1/pods", "http://h%20/api/v1/pods", "http://h?watch=1", "http://h/api/v1/watch",
    "http://u@h/api/v1/watch/",
    "h:443", "127.0.0.1:443", "api/v1/pods", "../api/v1/pods", "?watch=1", "#x", "", "//h/api/v1/pods", "//api/v1/pods", "/\\h/api/v1/pods",
    "\\/api", ":", "://h/api", "1http://h/api", "a:b", "mailto:a@b", "urn:x:y?watch=1", "javascript:alert(1)", "file:///etc/passwd",
    "/api/v1/pods http://h", "/api/v1/pods\t", " /api/v1/pods", "/api/v1/p ods", "/api/v1/pods\x7f", "/api/v1/pods?x=\x01",
)  # fmt: skip
METHODS = (
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY", "PROPFIND", "PURGE", "LINK", "get", "Get", "gET",
    "post", "Post", "put", "patch", "delete", "Delete", "head", "LIST", "WATCH", "DELETECOLLECTION", "PROXY", "X", "M-SEARCH", "GET_", "G~T",
    "GE\u0422", "", "G T", "GET\t",
)  # fmt: skip
HEADERS: tuple[list[list[str]], ...] = (
    [["X-HTTP-Method-Override", "DELETE"]], [["X-Original-URL", "/api/v1/secrets"]], [["X-Rewrite-URL", "/api/v1/secrets"]],
    [["X-Forwarded-Host", "x"]], [["X-Forwarded-Proto", "http"]],
    [["Impersonate-User", "system:admin"]], [["impersonate-user", "x"]], [["IMPERSONATE-GROUP", "system:masters"]],
    [["Impersonate-Extra-Scopes", "x"]], [["Impersonate-User", ""]], [["Impersonate-User", ""], ["Impersonate-User", "x"]],
    [["Impersonate_User", "x"]], [["Impersonate", "x"]],
    [["X-Remote-User", "x"]], [["X-Remote-Group", "system:masters"]], [["X-Remote-Extra-x", "y"]], [["Authorization", ""]],
    [["Authorization", "Bearer"]], [["Authorization", "Bearer a b"]], [["Authorization", "Token x"]],
    [["Authorization", "Bearer x"], ["Authorization", "Bearer y"]], [["authorization", "Bearer x"]],
    [["Sec-WebSocket-Protocol", "base64url.bearer.authorization.k8s.io.dG9rZW4"]],
    [["Sec-WebSocket-Protocol", "a, base64url.bearer.authorization.k8s.io.dG9rZW4, b"]], [["Cookie", "a=b; c=d"]], [["Range", "bytes=0-1"]],
    [["If-None-Match", '"x"']], [["If-Modified-Since", "Wed, 21 Oct 2015 07:28:00 GMT"]],
    [["Accept", "*/*"]], [["Accept", "application/vnd.kubernetes.protobuf"]], [["Accept", "application/json;as=Table;g=meta.k8s.io;v=v1"]],
    [["Accept", "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"]], [["Accept", ""]], [["Accept", "text/html"]],
    [["Accept", "application/yaml"]], [["Accept-Encoding", "gzip, br"]],
    [["Connection", "close"]], [["Connection", "keep-alive, Authorization"]],
    [["Connection", "Upgrade"], ["Upgrade", "h2c"], ["HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA"]], [["Upgrade", "websocket"]],
    [["Keep-Alive", "timeout=5"]], [["TE", "trailers"]], [["Proxy-Connection", "keep-alive"]], [["Trailer", "Authorization"]],
    [["Expect", "100-continue"]], [["Expect", "100-Continue"]], [["Expect", "200-ok"]], [["Expect", ""]], [["Content-Length", "0"]],
    [["Content-Length", "00"]], [["Content-Length", "-1"]], [["Content-Length", "+0"]], [["Content-Length", "0x0"]], [["Content-Length", ""]],
    [["Content-Length", "0"], ["Content-Length", "0"]],
    [["Content-Length", "0"], ["Content-Length", "1"]], [["Content-Length", "0, 0"]], [["Transfer-Encoding", "identity"]],
    [["Transfer-Encoding", "xchunked"]], [["Transfer-Encoding", "gzip, chunked"]],
    [["Transfer-Encoding", "chunked"], ["Transfer-Encoding", "chunked"]], [["Transfer-Encoding", "\x0bchunked"]],
    [["Transfer_Encoding", "chunked"]],
    [["Host", "evil"]], [["Host", "a"], ["Host", "b"]], [["Host", "a b"]], [["Host", "a/b"]], [["Host", ""]], [["Host", "[::1]:443"]],
    [["Host", "h\u00e9"]], [["X", "a\x00b"]], [["X", "a\x01b"]], [["X", "a\r\n b"]], [["X", "a\n b"]], [["X", "a\rb"]], [["X", "a\x7fb"]],
    [["X", "\xe9"]], [["X", ""]], [["X Y", "a"]], [["X ", "a"]], [["", "a"]], [["X\x00", "a"]], [["X:Y", "a"]], [["X(Y)", "a"]],
    [["\xe9", "a"]], [[" X", "a"]],
    [["Audit-ID", "x"]], [["Kubectl-Command", "kubectl get"]], [["Kubectl-Session", "x"]], [["User-Agent", "kubectl/v1.36"]],
    [["User-Agent", ""]], [["Origin", "http://evil"]], [["Content-Type", "application/json"]], [["Content-Encoding", "gzip"]],
    [["Warning", "299 - x"]], [["traceparent", "00-1-2-01"]], [["X-Long", "x" * 60000]],
)  # fmt: skip
BODIES: tuple[tuple[str, str, list[list[str]], str], ...] = (
    ("POST", "/api/v1/namespaces/default/pods", JSON, '{"kind":"Pod","apiVersion":"v1"}'),
    ("POST", "/api/v1/namespaces/default/pods", JSON, '{"kind":"Secret","apiVersion":"v1"}'),
    ("POST", "/api/v1/namespaces/default/pods", JSON, '{"spec":{},"spec":{}}'), ("POST", "/api/v1/namespaces/default/pods", JSON, "{}{}"),
    ("POST", "/api/v1/namespaces/default/pods", JSON, ""),
    ("POST", "/api/v1/namespaces/default/pods", JSON, "null"), ("POST", "/api/v1/namespaces/default/pods", JSON, "[]"),
    ("POST", "/api/v1/namespaces/default/pods", [["Content-Type", "application/yaml"]], "kind: Pod\n"),
    ("POST", "/api/v1/namespaces/default/pods", [["Content-Type", "application/yaml"]], "a: &x 1\nb: *x\n"),
    ("POST", "/api/v1/namespaces/default/pods", [["Content-Type", "application/vnd.kubernetes.protobuf"]], "k8s\x00"),
    ("POST", "/api/v1/namespaces/default/pods", [["Content-Type", "application/cbor"]], "x"),
    ("POST", "/api/v1/namespaces/default/pods", [["Content-Type", "Application/JSON; charset=utf-8"]], "{}"),
    ("POST", "/api/v1/namespaces/default/pods", [["Content-Type", "multipart/form-data"]], "{}"),
    ("POST", "/api/v1/namespaces/default/pods?dryRun=All", JSON, "{}"),
    ("POST", "/api/v1/namespaces/default/pods?dryRun=All&dryRun=All", JSON, "{}"),
    ("POST", "/api/v1/namespaces/default/pods?dryRun=none", JSON, "{}"), ("POST", "/api/v1/namespaces/default/pods?dryRun", JSON, "{}"),
    ("POST", "/api/v1/namespaces/default/pods?dryrun=All", JSON, "{}"), ("POST", "/api/v1/namespaces/default/pods?dryRun=All;", JSON, "{}"),
    ("POST", "/api/v1/namespaces/default/pods?fieldManager=a&fieldManager=b", JSON, "{}"),
    ("POST", "/api/v1/namespaces/default/pods?fieldValidation=Strict&fieldManager=kubectl", JSON, "{}"),
    ("PUT", POD, JSON, '{"metadata":{"name":"p2"}}'), ("PUT", POD + "?dryRun=All&fieldManager=x", JSON, "{}"),
    ("PATCH", POD, [["Content-Type", "application/merge-patch+json"]], "{}"),
    ("PATCH", POD, [["Content-Type", "application/json-patch+json"]], "[]"),
    ("PATCH", POD, [["Content-Type", "application/apply-patch+yaml"]], "kind: Pod\n"),
    ("PATCH", POD + "?force=true&fieldManager=x", [["Content-Type", "application/apply-patch+yaml"]], "{}"),
    ("PATCH", POD + "?force=0&fieldManager=x", [["Content-Type", "application/apply-patch+yaml"]], "{}"),
    ("PATCH", POD + "?force", [["Content-Type", "application/merge-patch+json"]], "{}"), ("PATCH", POD, JSON, "{}"), ("PATCH", POD, [], "{}"),
    ("PATCH", POD, [["Content-Type", "application/strategic-merge-patch+json; charset=utf-8"]], '{"spec":{"$patch":"replace"}}'),
    ("DELETE", POD, JSON, "{}"), ("DELETE", POD + "?dryRun=All", JSON, "{}"), ("DELETE", POD + "?dryRun=All", [], ""),
    ("DELETE", POD, JSON, '{"kind":"DeleteOptions","apiVersion":"v1","dryRun":["All"]}'), ("DELETE", POD, JSON, '{"gracePeriodSeconds":"0"}'),
    ("DELETE", POD, JSON, '{"kind":"DeleteOptions","apiVersion":"meta.k8s.io/v1","preconditions":{"uid":"x"}}'),
    ("DELETE", POD, JSON, '{"kind":"Pod"}'),
    ("DELETE", POD + "?gracePeriodSeconds=0", [], ""), ("DELETE", POD + "?gracePeriodSeconds=abc", [], ""),
    ("DELETE", POD + "?propagationPolicy=", [], ""), ("DELETE", POD + "?propagationPolicy=Orphan&orphanDependents=1", [], ""),
    ("DELETE", POD + "?orphanDependents=x", [], ""), ("DELETE", POD + "?uid=a&resourceVersion=5", [], ""),
    ("DELETE", POD + "?dryRun=All&dryRun=None", [], ""), ("DELETE", POD + "?dryRun=", [], ""),
    ("DELETE", POD + "/exec?gracePeriodSeconds=abc", [], ""), ("DELETE", POD + "/log?gracePeriodSeconds=abc", [], ""),
    ("DELETE", POD + "/portforward?ports=x", [], ""), ("DELETE", POD + "/status?gracePeriodSeconds=1", [], ""),
    ("DELETE", POD + "/proxy/x?dryRun=All", [], ""), ("DELETE", SECRETS + "?gracePeriodSeconds=1&labelSelector=a", [], ""),
    ("DELETE", SECRETS + "?gracePeriodSeconds=x&labelSelector=(", [], ""), ("DELETE", SECRETS + "?labelSelector=(", [], ""),
    ("DELETE", SECRETS + "?fieldSelector=metadata.name%3Dfoo&limit=x", [], ""),
    ("DELETE", SECRETS + "?fieldSelector=metadata.name%3Dfoo", [], ""), ("DELETE", SECRETS + "?watch=1", [], ""),
    ("DELETE", SECRETS + "?unknown=1", [], ""), ("DELETE", SECRETS + "/", [], ""), ("GET", SECRET, JSON, "{}"),
    ("GET", SECRET + "?resourceVersion=5", [], ""), ("GET", SECRET + "?resourceVersion=5&resourceVersion=6", [], ""),
    ("GET", SECRET + "?watch=1", [], ""), ("GET", SECRET + "?limit=x", [], ""), ("HEAD", SECRETS + "?watch=x", [], ""),
    ("POST", SECRETS + "?watch=1", JSON, "CHUNKED:{}"),
    ("POST", SECRETS, [["Content-Type", "application/json"], ["Transfer-Encoding", "chunked"]], "CHUNKED:{}"),
    ("POST", POD + "/eviction", JSON, '{"kind":"Eviction","apiVersion":"policy/v1","metadata":{"name":"p1"}}'),
    ("POST", POD + "/eviction", JSON, '{"kind":"Pod","apiVersion":"v1"}'),
    ("POST", POD + "/binding", JSON, '{"kind":"Binding","apiVersion":"v1","metadata":{"name":"p1"}}'),
    ("PATCH", "/apis/apps/v1/namespaces/a/deployments/d/scale", [["Content-Type", "application/merge-patch+json"]], '{"spec":{"replicas":0}}'),
)  # fmt: skip
BOOLEAN_PLACES = (
    f"{SECRETS}?watch=",
    f"{SECRETS}?watch=1&allowWatchBookmarks=",
    f"{SECRETS}?sendInitialEvents=",
    f"{POD}/exec?command=id&stdin=",
    f"{POD}/log?follow=",
)
INTEGER_PLACES = (f"{SECRETS}?limit=", f"{SECRETS}?watch=1&timeoutSeconds=", f"{POD}/log?tailLines=")
VERSIONS = (
    "HTTP/1.0",
    "HTTP/1.2",
    "HTTP/1.9",
    "HTTP/2.0",
    "HTTP/2",
    "HTTP/3.0",
    "HTTP/0.9",
    "http/1.1",
    "HTTP/1.1 ",
    "HTTP/11",
    "HTTPS/1.1",
    "HTTP/1.10",
)


def _all() -> Iterator[dict[str, Any]]:
    def line(category: str, method: str, path: str, headers: Any = (), body: str = "", **more: Any) -> dict[str, Any]:
        return {
            "category": category,
            "method": method,
            "path": path,
            "headers": list(headers),
            "body": body or None,
            **more,
        }

    for place, value in product(BOOLEAN_PLACES, BOOLEANS):
        yield line("booleans", "GET", place + quote(value, safe=""))
    for place, value in product(INTEGER_PLACES, INTEGERS):
        yield line("integers", "GET", place + quote(value, safe=""))
    for selector in FIELD_SELECTORS:
        yield line("field_selector", "GET", f"{SECRETS}?fieldSelector={quote(selector, safe='')}")
        yield line("field_selector", "GET", f"/api/v1/pods?watch=1&fieldSelector={quote(selector, safe='=,')}")
    for selector in LABEL_SELECTORS:
        yield line("label_selector", "GET", f"{SECRETS}?labelSelector={quote(selector, safe='')}")
    for query in QUERIES:
        yield line("query", "GET", f"{SECRETS}?{query}".encode("latin-1").decode("utf-8", "surrogateescape"))
    for segment in SEGMENTS:
        yield line("segments", "GET", f"/api/v1/namespaces/default/{segment}")
        yield line("segments", "DELETE", f"/api/v1/namespaces/{segment}/pods/{segment}")
    for path in RESOURCE_PATHS:
        yield line("paths", "GET", path)
        yield line("paths", "DELETE" if "watch" in path or "proxy" in path else "POST", path)
    for path in OTHER_PATHS:
        yield line("paths", "GET", path)
    for target in TARGETS:
        yield line("targets", "GET", target)
        yield line("targets", "CONNECT" if ":" in target else "OPTIONS", target)
    for method, path in product(METHODS, (SECRET, SECRETS, "/healthz", f"{POD}/proxy/x")):
        yield line("methods", method, path)
    for headers in HEADERS:
        yield line("headers", "GET", SECRET, headers)
    for method, path, headers, body in BODIES:
        yield line("bodies", method, path, headers, body)
    for version in VERSIONS:
        yield line("versions", "GET", SECRET, http_version=version)
    for headers, method in product((WEBSOCKET, SPDY), ("GET", "POST", "PUT", "HEAD")):
        yield line("upgrades", method, f"{POD}/exec?command=id&stdout=true", headers)


def requests() -> list[dict[str, Any]]:
    """Each with an id; none twice."""
    found = {json.dumps(each): each for each in _all()}
    return [{"id": f"o{number:04}", **each} for number, each in enumerate(found.values(), 1)]


def wire(request: dict[str, Any]) -> bytes:
    """The bytes that a client would send on an HTTP/1 connection."""
    headers, body = list(request["headers"]), (request["body"] or "").removeprefix("CHUNKED:").encode()
    names = {name.lower() for name, _ in headers}
    if "host" not in names:
        headers.insert(0, ["Host", "gateway"])
    if body and not names & {"content-length", "transfer-encoding"}:
        headers.append(["Content-Length", str(len(body))])
    if (request["body"] or "").startswith("CHUNKED:"):
        headers += [] if "transfer-encoding" in names else [["Transfer-Encoding", "chunked"]]
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    version = request.get("http_version", "HTTP/1.1")
    head = f"{request['method']} {request['path']} {version}\r\n" + "".join(f"{n}: {v}\r\n" for n, v in headers)
    return head.encode("utf-8", "surrogateescape") + b"\r\n" + body


if __name__ == "__main__":
    for each in requests():
        print(b64encode(wire(each)).decode())
