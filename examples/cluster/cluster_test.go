package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/gorilla/websocket"
)

// player stands for a server: it says its name, and is ready or not.
type player struct {
	*httptest.Server
	ready atomic.Bool
}

func newPlayer(t *testing.T, name string) *player {
	t.Helper()
	p := &player{}
	p.ready.Store(true)
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/readyz" && !p.ready.Load():
			w.WriteHeader(http.StatusServiceUnavailable)
		case r.URL.Path == "/ws":
			up := websocket.Upgrader{}
			conn, err := up.Upgrade(w, r, nil)
			if err != nil {
				return
			}
			defer func() { _ = conn.Close() }()
			for {
				kind, data, err := conn.ReadMessage()
				if err != nil || conn.WriteMessage(kind, data) != nil {
					return
				}
			}
		default:
			body, _ := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%s %s %s", name, body, r.Header.Get("X-Forwarded-For"))
		}
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *player) address() string { return p.Listener.Addr().String() }

func post(t *testing.T, b *balancer) string {
	t.Helper()
	response, err := http.Post("http://"+b.addr()+"/x", "text/plain", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%d %s %v", response.StatusCode, body, err)
	}
	name, rest, _ := strings.Cut(string(body), " ")
	if rest != "body 127.0.0.1" {
		t.Errorf("the server gets %q", rest)
	}
	return name
}

func TestRequestsGoToServersThatAreReady(t *testing.T) {
	t.Parallel()
	a, z := newPlayer(t, "a"), newPlayer(t, "z")
	b, err := openBalancer("127.0.0.1:0", []string{a.address(), z.address()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	seen := map[string]int{}
	for range 10 {
		seen[post(t, b)]++
	}
	if seen["a"] == 0 || seen["z"] == 0 {
		t.Errorf("all goes to one: %v", seen)
	}

	z.ready.Store(false)
	for deadline := time.Now().Add(30 * time.Second); b.backends[1].ready.Load(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nobody notices")
		}
	}
	for range 5 {
		if name := post(t, b); name != "a" {
			t.Errorf("%s gets a request", name)
		}
	}
	conn, _, err := websocket.DefaultDialer.Dial("ws://"+b.addr()+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if err := conn.WriteMessage(websocket.TextMessage, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, data, err := conn.ReadMessage(); err != nil || string(data) != "hello" {
		t.Errorf("%s %v", data, err)
	}

	a.ready.Store(false) // none is ready: they are asked all the same
	for deadline := time.Now().Add(30 * time.Second); b.backends[0].ready.Load(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nobody notices")
		}
	}
	post(t, b)
}

// A server that is gone and that nobody has noticed yet costs no request, bodies included.
func TestWhatNobodyTookIsSentToAnother(t *testing.T) {
	t.Parallel()
	a, gone := newPlayer(t, "a"), newPlayer(t, "gone")
	b, err := openBalancer("127.0.0.1:0", []string{gone.address(), a.address()})
	if err != nil {
		t.Fatal(err)
	}
	defer b.close()
	gone.Close()
	for range 4 {
		b.backends[0].ready.Store(true)
		if name := post(t, b); name != "a" {
			t.Errorf("%s answers", name)
		}
	}
}

// object is one of Kubernetes', as far as these tests look at it.
type object struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string
	Metadata   struct{ Name string }
	Data       map[string]string
	StringData map[string]string `yaml:"stringData"`
	Resources  []string
	Spec       struct {
		ServiceName    string `yaml:"serviceName"`
		Replicas       int
		MaxUnavailable int `yaml:"maxUnavailable"`
		Selector       any
		Ports          []struct {
			Name       string
			TargetPort string `yaml:"targetPort"`
		}
		Strategy struct {
			RollingUpdate struct {
				MaxUnavailable int `yaml:"maxUnavailable"`
			} `yaml:"rollingUpdate"`
		}
		Rules    []rule
		Template struct {
			Metadata struct{ Labels map[string]string }
			Spec     struct {
				Grace      int `yaml:"terminationGracePeriodSeconds"`
				Containers []container
			}
		}
	}
}

type rule struct {
	HTTP struct {
		Paths []struct {
			Backend struct {
				Service struct {
					Name string
					Port struct{ Name string }
				}
			}
		}
	}
}

type container struct {
	EnvFrom []struct {
		ConfigMapRef, SecretRef struct{ Name string }
	} `yaml:"envFrom"`
	Env   []struct{ Name, Value string }
	Ports []struct {
		Name          string
		ContainerPort int `yaml:"containerPort"`
	}
	Readiness probe `yaml:"readinessProbe"`
	Liveness  probe `yaml:"livenessProbe"`
}

type probe struct {
	HTTPGet struct{ Path, Port string } `yaml:"httpGet"`
}

func manifests(t *testing.T) map[string]object {
	t.Helper()
	found := map[string]object{}
	var list object
	read(t, "kubernetes/kustomization.yaml", func(o object) { list = o })
	files, _ := filepath.Glob("kubernetes/*.yaml")
	if len(list.Resources) != len(files)-1 {
		t.Errorf("the kustomization lists %v", list.Resources)
	}
	for _, name := range list.Resources {
		read(t, "kubernetes/"+name, func(o object) {
			key := o.Kind + " " + o.Metadata.Name
			if _, ok := found[key]; ok || o.APIVersion == "" || o.Metadata.Name == "" {
				t.Errorf("%s: %s", name, key)
			}
			found[key] = o
		})
	}
	return found
}

func read[T any](t *testing.T, path string, each func(T)) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for decoder := yaml.NewDecoder(file); ; {
		var o T
		err := decoder.Decode(&o)
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		each(o)
	}
}

// What the manifests name is there: labels, ports, settings, services; and nothing ends before it may.
func TestManifestsFitTogether(t *testing.T) {
	t.Parallel()
	all := manifests(t)
	matches := func(selector any) []string {
		labels, _ := selector.(map[string]any)
		if inner, ok := labels["matchLabels"].(map[string]any); ok {
			labels = inner
		}
		var names []string
		for key, o := range all {
			fits := len(labels) > 0 && len(o.Spec.Template.Metadata.Labels) > 0
			for k, v := range labels {
				fits = fits && o.Spec.Template.Metadata.Labels[k] == v
			}
			if fits {
				names = append(names, key)
			}
		}
		return names
	}
	for key, o := range all {
		name := o.Metadata.Name
		switch o.Kind {
		case "Deployment", "StatefulSet":
			c := o.Spec.Template.Spec.Containers[0]
			if got := matches(o.Spec.Selector); !slices.Equal(got, []string{key}) || o.Spec.Replicas < 2 {
				t.Errorf("%s selects %v", key, got)
			}
			if _, ok := all["PodDisruptionBudget "+name]; !ok {
				t.Errorf("%s has no budget", key)
			}
			for _, p := range []probe{c.Readiness, c.Liveness} {
				if !slices.ContainsFunc(c.Ports, func(port struct {
					Name          string
					ContainerPort int `yaml:"containerPort"`
				}) bool {
					return port.Name == p.HTTPGet.Port
				}) {
					t.Errorf("%s: a probe of port %q", key, p.HTTPGet.Port)
				}
			}
			if o.Kind == "StatefulSet" {
				continue
			}
			if c.Readiness.HTTPGet.Path != "/readyz" || c.Liveness.HTTPGet.Path != "/healthz" || o.Spec.Strategy.RollingUpdate.MaxUnavailable != 0 {
				t.Errorf("%s: %+v", key, c)
			}
			for _, from := range c.EnvFrom {
				if _, ok := all["ConfigMap "+from.ConfigMapRef.Name]; from.ConfigMapRef.Name != "" && !ok {
					t.Errorf("%s: no config map", key)
				}
				if _, ok := all["Secret "+from.SecretRef.Name]; from.SecretRef.Name != "" && !ok {
					t.Errorf("%s: no secret", key)
				}
			}
			if c.Env[0].Name != "PATCHBAY_ROLE" || "patchbay-"+c.Env[0].Value != name {
				t.Errorf("%s has the role %v", key, c.Env)
			}
			sum := 20 * time.Second // requests that are being answered, WebSockets, plugins
			for _, setting := range []string{"PATCHBAY_SHUTDOWN_DELAY", "PATCHBAY_SHUTDOWN_GRACE"} {
				d, err := time.ParseDuration(all["ConfigMap patchbay"].Data[setting])
				if err != nil {
					t.Error(err)
				}
				sum += d
			}
			if grace := time.Duration(o.Spec.Template.Spec.Grace) * time.Second; grace < sum {
				t.Errorf("%s is killed after %s, and may need %s", key, grace, sum)
			}
		case "Service":
			got := matches(o.Spec.Selector)
			if len(got) != 1 {
				t.Errorf("%s selects %v", key, got)
				continue
			}
			for _, port := range o.Spec.Ports {
				if !strings.Contains(fmt.Sprintf("%+v", all[got[0]].Spec.Template.Spec.Containers[0].Ports), "Name:"+port.TargetPort+" ") {
					t.Errorf("%s: port %s of %v", key, port.TargetPort, got)
				}
			}
		case "PodDisruptionBudget":
			if len(matches(o.Spec.Selector)) != 1 || o.Spec.MaxUnavailable != 1 {
				t.Errorf("%s", key)
			}
		case "Ingress":
			to := o.Spec.Rules[0].HTTP.Paths[0].Backend.Service
			if ports := all["Service "+to.Name].Spec.Ports; len(ports) != 1 || ports[0].Name != to.Port.Name {
				t.Errorf("%s leads to %+v", key, to)
			}
		case "ConfigMap", "Secret":
		default:
			t.Errorf("%s is not expected", key)
		}
	}
	for _, key := range []string{"Deployment patchbay-api", "Deployment patchbay-worker", "StatefulSet nats", "Service patchbay", "Ingress patchbay"} {
		if _, ok := all[key]; !ok {
			t.Errorf("there is no %s", key)
		}
	}
	known(t, slices.Collect(maps.Keys(all["ConfigMap patchbay"].Data))...)
	known(t, slices.Collect(maps.Keys(all["Secret patchbay"].StringData))...)
}

// known says that README's table has settings.
func known(t *testing.T, names ...string) {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !strings.Contains(string(readme), "`"+name+"`") {
			t.Errorf("there is no setting %s", name)
		}
	}
}

func TestComposeFile(t *testing.T) {
	t.Parallel()
	var services map[string]struct {
		Environment map[string]string
		StopGrace   string `yaml:"stop_grace_period"`
		DependsOn   any    `yaml:"depends_on"`
		Build       struct{ Context, Dockerfile string }
		Command     []string
	}
	read(t, "compose.yaml", func(f struct{ Services yaml.MapSlice }) {
		raw, err := yaml.Marshal(f.Services)
		if err == nil {
			err = yaml.Unmarshal(raw, &services)
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	server := services["patchbay"]
	var settings []string
	for name := range server.Environment {
		settings = append(settings, name)
	}
	known(t, settings...)
	if _, err := os.Stat(filepath.Join(server.Build.Context, server.Build.Dockerfile)); err != nil {
		t.Error(err)
	}
	for _, host := range regexp.MustCompile(`(nats-\d):4222`).FindAllStringSubmatch(server.Environment["PATCHBAY_NATS_URL"], -1) {
		if len(services[host[1]].Command) == 0 {
			t.Errorf("there is no service %s", host[1])
		}
	}
	sum := 10 * time.Second
	for _, setting := range []string{"PATCHBAY_SHUTDOWN_DELAY", "PATCHBAY_SHUTDOWN_GRACE"} {
		d, err := time.ParseDuration(server.Environment[setting])
		if err != nil {
			t.Error(err)
		}
		sum += d
	}
	if grace, err := time.ParseDuration(server.StopGrace); err != nil || grace < sum {
		t.Errorf("it is killed after %s, and may need %s", server.StopGrace, sum)
	}
}
