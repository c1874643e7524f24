// A request for each route that shows something of profiles, and for some in more than one way. Tests only.
#ifndef KP_API_SCOPE_STEPS_FIXTURE_H
#define KP_API_SCOPE_STEPS_FIXTURE_H

#include "api/scope_fixture.h"

enum kind {
    BY_NAME, // {ns} is asked for: 403 where he may not
    BY_ID,   // {id}: 404 where he may not
    OF_ALL,  // names nothing: for those who see all
    OF_OWN,  // names nothing: his own, for those who have one; {ns} is not theirs to choose
};

#define AGG  "/apis/data.kube-pprof.dev/v1alpha1"
#define ROW  AGG "/namespaces/{namespace}/profiles"
#define PATH AGG "/namespaces/{ns}/profiles"

static const struct step {
    const char *route; // the row it goes through
    const char *method, *path;
    enum kind kind;
} steps[] = {
    {"/api/v1/profiles", "GET", "/api/v1/profiles?namespace={ns}", BY_NAME},
    {"/api/v1/profiles", "GET", "/api/v1/profiles?limit=1", OF_ALL},
    {"/api/v1/profiles", "GET", "/api/v1/profiles?namespace=&selector=k8s.namespace%3D{ns}", OF_ALL},
    {"/api/v1/profiles/{id}", "GET", "/api/v1/profiles/{id}", BY_ID},
    {"/api/v1/profiles/{id}", "GET", "/api/v1/profiles/{id}?meta=true", BY_ID},
    {"/api/v1/profiles/{id}", "GET", "/api/v1/profiles/{id}?namespace={ns}", BY_NAME},
    {"/api/v1/services", "GET", "/api/v1/services?namespace={ns}", BY_NAME},
    {"/api/v1/services", "GET", "/api/v1/services", OF_ALL},
    {"/api/v1/labels", "GET", "/api/v1/labels?namespace={ns}", BY_NAME},
    {"/api/v1/labels", "GET", "/api/v1/labels?service=api", OF_ALL},
    {"/api/v1/labels/{key}", "GET", "/api/v1/labels/tier?namespace={ns}", BY_NAME},
    {"/api/v1/labels/{key}", "GET", "/api/v1/labels/k8s.pod", OF_ALL},
    {"/api/v1/merge", "GET", "/api/v1/merge?namespace={ns}&type=cpu&selector=team%3Dcore", BY_NAME},
    {"/api/v1/merge", "GET", "/api/v1/merge?type=cpu", OF_ALL},
    {"/api/v1/merge", "GET", "/api/v1/merge?ids={id}", OF_ALL},
    {"/api/v1/top", "GET", "/api/v1/top?namespace={ns}&type=cpu", BY_NAME},
    {"/api/v1/top", "GET", "/api/v1/top?namespace={ns}&type=cpu&by=label%3Downer", BY_NAME},
    {"/api/v1/diff", "GET", "/api/v1/diff?namespace={ns}&type=cpu&baseSelector=team%3Dcore", BY_NAME},
    {"/api/v1/flamegraph", "GET", "/api/v1/flamegraph?namespace={ns}&type=cpu", BY_NAME},
    {"/api/v1/flamegraph", "GET", "/api/v1/flamegraph?namespace={ns}&type=cpu&format=html", BY_NAME},
    {"/api/v1/series", "GET", "/api/v1/series?namespace={ns}&type=cpu&groupBy=k8s.pod", BY_NAME},
    {"/api/v1/peers", "GET", "/api/v1/peers?namespace={ns}&type=cpu&function=main.f0", BY_NAME},
    {"/api/v1/targets", "GET", "/api/v1/targets?namespace={ns}", BY_NAME},
    {"/api/v1/targets", "GET", "/api/v1/targets", OF_ALL},
    {"/api/v1/stats", "GET", "/api/v1/stats?namespace={ns}", OF_ALL},
    {"/api/0/profiles", "GET", "/api/0/profiles?service={ns}/api" ALL, BY_NAME},
    {"/api/0/profiles/", "GET", "/api/0/profiles/?service={ns}/api" ALL, BY_NAME},
    {"/api/0/profiles/merge", "GET", "/api/0/profiles/merge?service={ns}/api&type=cpu" ALL, BY_NAME},
    {"/api/0/profiles/merge/", "GET", "/api/0/profiles/merge/?service={ns}/api&type=cpu" ALL, BY_NAME},
    {"/api/0/profiles/merge", "POST", "/api/0/profiles/merge?service={ns}/api&type=cpu" ALL, BY_NAME},
    {"/api/0/profiles/merge/", "POST", "/api/0/profiles/merge/?service={ns}/api&type=cpu" ALL, BY_NAME},
    {"/api/0/profiles/{ids}", "GET", "/api/0/profiles/{id}", BY_ID},
    {"/api/0/profiles/{ids}/", "GET", "/api/0/profiles/{id}/", BY_ID},
    {"/api/0/profiles/{ids}", "GET", "/api/0/profiles/{id}+{id}", BY_ID},
    {"/api/0/services", "GET", "/api/0/services", OF_OWN},
    {"/api/0/services", "GET", "/api/0/services?service={ns}/api", BY_NAME},
    {AGG "/profiles", "GET", AGG "/profiles", OF_ALL},
    {AGG "/profiles", "GET", AGG "/profiles?fieldSelector=metadata.namespace%3D{ns}", OF_ALL},
    {ROW, "GET", PATH, BY_NAME},
    {ROW, "GET", PATH "?fieldSelector=metadata.name%3D{id}", BY_NAME},
    {ROW "/{id}", "GET", PATH "/{id}", BY_NAME},
    {ROW "/{id}/download", "GET", PATH "/{id}/download", BY_NAME},
    {ROW "/-/merge", "GET", PATH "/-/merge?type=cpu", BY_NAME},
    {ROW "/-/merge", "GET", PATH "/-/merge?ids={id}", BY_NAME},
    {ROW "/-/top", "GET", PATH "/-/top?type=cpu&by=label%3Downer", BY_NAME},
    {ROW "/-/diff", "GET", PATH "/-/diff?type=cpu&baseSelector=team%3Dcore", BY_NAME},
    {ROW "/-/flamegraph", "GET", PATH "/-/flamegraph?type=cpu", BY_NAME},
    {ROW "/-/series", "GET", PATH "/-/series?type=cpu&groupBy=k8s.pod", BY_NAME},
    {ROW "/-/peers", "GET", PATH "/-/peers?type=cpu&function=main.f0", BY_NAME},
    {ROW "/-/targets", "GET", PATH "/-/targets", BY_NAME},
    {ROW "/-/services", "GET", PATH "/-/services", BY_NAME},
    {ROW "/-/labels", "GET", PATH "/-/labels?service=api", BY_NAME},
    // last: they change something
    {ROW, "DELETE", PATH, BY_NAME},
    {ROW "/{id}", "DELETE", PATH "/{id}", BY_NAME},
    {"/api/v1/profiles/{id}", "DELETE", "/api/v1/profiles/{id}", BY_ID},
    {"/api/0/profiles/{id}", "DELETE", "/api/0/profiles/{id}", BY_ID},
};

#endif
