package aws

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/kitamae/kitamae/fault"
)

//go:embed template.yml
var embedded []byte

// Stack is everything a template is filled with.
type Stack struct {
	Name     string
	Image    string // by digest
	Arm      bool
	Size     Size
	Network  Network
	Port     int
	Database *Database // nil where RDS does not know the source
	IAMUser  string    // the database user that the task logs in as by its role; "" where it uses a password
	Schedule Schedule
	Alert    string // e-mail
	Bucket   string
	// BucketThere says that the bucket is an earlier deployment's.
	BucketThere bool
	// Shards is how many processes share a run; 0 where it is one task. Buckets are those that the config names, each with its folder. Ports are those
	// that the task reaches beside the source's and HTTPS. Disk is a task's, in GiB; 0 for Fargate's own.
	Shards  int
	Buckets []string
	Ports   []int
	Disk    int
	// Config is the packed config, File the config as it is. Plain are variables it refers to; Injected are those that Fargate fills from a store, by their ARN or
	// parameter; Read are secrets the task reads by itself.
	Config   string
	File     []byte
	Plain    map[string]string
	Injected map[string]Secret
	Read     []Secret
}

// Secret is a place in SSM's parameter store or in Secrets Manager.
type Secret struct {
	Store string // aws-ssm or aws-sm
	Name  string // a parameter's path, or a secret's name or ARN
	Field string // of a secret that is JSON
}

// ParseSecret reads aws-ssm:/path or aws-sm:name#field.
func ParseSecret(text string) (Secret, error) {
	store, name, _ := strings.Cut(strings.TrimPrefix(text, "secret:"), ":")
	name, field, _ := strings.Cut(name, "#")
	if store != "aws-ssm" && store != "aws-sm" || name == "" {
		return Secret{}, fault.New(fault.Config, "deploy.secret", "write it as aws-ssm:/path or aws-sm:name#field", "%q is no secret a task on AWS can read", text)
	}
	return Secret{store, name, field}, nil
}

// Managed counts the secrets in Secrets Manager, which has a price for each.
func (s Stack) Managed() int {
	names := map[string]bool{}
	for _, one := range append(slices.Collect(maps.Values(s.Injected)), s.Read...) {
		if one.Store == "aws-sm" {
			names[one.Name] = true
		}
	}
	return len(names)
}

// sub is the secret's ARN, with the region and account left to CloudFormation. A secret's ARN ends in six letters its name does not have.
func (s Secret) sub() string {
	switch {
	case strings.HasPrefix(s.Name, "arn:"):
		return s.Name
	case s.Store == "aws-ssm":
		return "arn:${AWS::Partition}:ssm:${AWS::Region}:${AWS::AccountId}:parameter/" + strings.TrimPrefix(s.Name, "/")
	}
	return "arn:${AWS::Partition}:secretsmanager:${AWS::Region}:${AWS::AccountId}:secret:" + s.Name
}

// policy is the statement that lets a role read secrets; nil without any.
func policy(secrets []Secret) []*yaml.Node {
	var out []*yaml.Node
	for _, kind := range []struct{ store, action, suffix, context string }{
		{"aws-ssm", "ssm:GetParameters", "", "PARAMETER_ARN"}, {"aws-sm", "secretsmanager:GetSecretValue", "-??????", "SecretARN"},
	} {
		var arns []*yaml.Node
		for _, s := range secrets {
			if s.Store != kind.store {
				continue
			}
			arn := s.sub()
			if !strings.HasPrefix(s.Name, "arn:") {
				arn += kind.suffix
			}
			arns = append(arns, tagged("!Sub", arn))
		}
		if len(arns) > 0 {
			action := []*yaml.Node{text(kind.action)}
			if kind.store == "aws-ssm" {
				action = append(action, text("ssm:GetParameter"))
			}
			// A key of the account's own opens these secrets and nothing else; for AWS's own key nobody needs the right.
			these := mapping("kms:EncryptionContext:"+kind.context, sequence(arns...))
			out = append(out, mapping("Effect", text("Allow"), "Action", sequence(action...), "Resource", sequence(arns...)),
				mapping("Effect", text("Allow"), "Action", text("kms:Decrypt"), "Resource", tagged("!Sub", "arn:${AWS::Partition}:kms:${AWS::Region}:${AWS::AccountId}:key/*"),
					"Condition", mapping("StringLike", these)))
		}
	}
	return out
}

// Deployment is a short name for exactly this stack.
func (s Stack) Deployment() (string, error) {
	body, err := s.render("")
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:6]), err
}

// Render fills the template.
func (s Stack) Render() ([]byte, error) {
	id, err := s.Deployment()
	if err != nil {
		return nil, err
	}
	return s.render(id)
}

func (s Stack) render(deployment string) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(embedded, &doc); err != nil {
		return nil, err
	}
	root := doc.Content[0]
	for name, value := range s.parameters(deployment) {
		at(root, "Parameters", name, "Default").SetString(value)
		if asked := name == "Vpc" || name == "Subnets" || name == "Image"; asked && value == "" {
			drop(at(root, "Parameters", name), "Default") // whoever owns the template says it
		}
	}
	read := slices.Clone(s.Read)
	slices.SortFunc(read, func(a, b Secret) int { return strings.Compare(a.sub(), b.sub()) })
	task := at(root, "Resources", "Task", "Properties", "ContainerDefinitions").Content[0]
	environment := at(task, "Environment")
	environment.Content = append(environment.Content, mapping("Name", text("KITAMAE_CONFIG"), "Value", text(s.configVariable())))
	for _, name := range sortedKeys(s.Plain) {
		environment.Content = append(environment.Content, mapping("Name", text(name), "Value", text(s.Plain[name])))
	}
	var injected []*yaml.Node
	var stored []Secret
	for _, name := range sortedKeys(s.Injected) {
		secret := s.Injected[name]
		from := secret.sub()
		if secret.Field != "" {
			from += ":" + secret.Field + "::"
		}
		injected, stored = append(injected, mapping("Name", text(name), "ValueFrom", tagged("!Sub", from))), append(stored, secret)
	}
	if len(injected) > 0 {
		task.Content = append(task.Content, text("Secrets"), sequence(injected...))
	}
	grant(root, "ExecutionRole", policy(stored)...)
	grant(root, "TaskRole", policy(slices.Compact(read))...)
	if s.IAMUser != "" {
		where := "*" // who owns the template knows the database
		if s.Database != nil {
			where = s.Database.ResourceID
		}
		user := "arn:${AWS::Partition}:rds-db:${AWS::Region}:${AWS::AccountId}:dbuser:" + where + "/" + s.IAMUser
		grant(root, "TaskRole", mapping("Effect", text("Allow"), "Action", text("rds-db:connect"), "Resource", tagged("!Sub", user)))
	}
	for _, folder := range s.Buckets {
		name, _, _ := strings.Cut(folder, "/")
		arn := "arn:${AWS::Partition}:s3:::" + folder
		grant(root, "TaskRole", mapping("Effect", text("Allow"), "Action", text("s3:ListBucket"), "Resource", tagged("!Sub", "arn:${AWS::Partition}:s3:::"+name)),
			mapping("Effect", text("Allow"), "Action", sequence(text("s3:GetObject"), text("s3:PutObject"), text("s3:DeleteObject")), "Resource", tagged("!Sub", arn+"/*")))
	}
	egress := at(root, "Resources", "TaskSecurityGroup", "Properties", "SecurityGroupEgress")
	for _, port := range s.Ports {
		egress.Content = append(egress.Content, mapping("IpProtocol", text("tcp"), "FromPort", number(port), "ToPort", number(port), "CidrIp", text("0.0.0.0/0"), "Description", text("named by the config")))
	}
	if s.Disk > 0 {
		properties := at(root, "Resources", "Task", "Properties")
		properties.Content = append(properties.Content, mapping("EphemeralStorage", mapping("SizeInGiB", number(s.Disk))).Content...)
	}
	if s.Shards > 0 {
		if err := s.divide(root); err != nil {
			return nil, err
		}
	}
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(&doc); err != nil {
		return nil, err
	}
	if b.Len() > largestTemplate {
		return nil, fault.New(fault.Config, "deploy.config_large", "take what is repeated out of the config", "the template is %d bytes with the config in it, more than the %d that CloudFormation takes", b.Len(), largestTemplate)
	}
	return b.Bytes(), e.Close()
}

// largestTemplate is what CloudFormation takes in one call.
const largestTemplate = 51_200

func (s Stack) parameters(deployment string) map[string]string {
	choose := func(yes bool, a, b string) string {
		if yes {
			return a
		}
		return b
	}
	p := map[string]string{
		"Name": s.Name, "Image": s.Image, "Architecture": choose(s.Arm, "ARM64", "X86_64"),
		"Cpu": strconv.Itoa(s.Size.CPU), "Memory": strconv.Itoa(s.Size.Memory),
		"Vpc": s.Network.VPC, "Subnets": strings.Join(s.Network.Subnets, ","), "PublicAddress": choose(s.Network.PublicAddress, "ENABLED", "DISABLED"),
		"DatabasePort": strconv.Itoa(s.Port), "ScheduleExpression": s.Schedule.Expression, "ScheduleZone": s.Schedule.Zone,
		"FreshHours": strconv.Itoa(s.Schedule.FreshHours), "AlertEmail": s.Alert, "Bucket": s.Bucket,
		"MakeBucket": choose(s.BucketThere, "no", "yes"), "Deployment": deployment,
	}
	if s.Database != nil {
		p["DatabaseSecurityGroup"] = s.Database.SecurityGroup
	}
	return p
}

// filled reads back what a rendered template's parameters are.
func filled(template []byte) (map[string]string, error) {
	var doc struct {
		Parameters map[string]struct {
			Default string `yaml:"Default"`
		} `yaml:"Parameters"`
	}
	if err := yaml.Unmarshal(template, &doc); err != nil {
		return nil, fmt.Errorf("the stack's template: %w", err)
	}
	m := map[string]string{}
	for name, p := range doc.Parameters {
		m[name] = p.Default
	}
	return m, nil
}

// grant adds statements to a role's one policy.
func grant(root *yaml.Node, role string, statements ...*yaml.Node) {
	list := at(at(root, "Resources", role, "Properties", "Policies").Content[0], "PolicyDocument", "Statement")
	list.Content = append(list.Content, statements...)
}

// at follows keys through mappings. The template is ours: a key that is not there is a mistake in the program.
func at(n *yaml.Node, keys ...string) *yaml.Node {
	for _, key := range keys {
		i := 0
		for ; i < len(n.Content) && n.Content[i].Value != key; i += 2 {
		}
		if i >= len(n.Content) {
			panic(fmt.Sprintf("deploy: the template has no %v", keys))
		}
		n = n.Content[i+1]
	}
	return n
}

// drop removes a key of a mapping.
func drop(n *yaml.Node, key string) {
	for i := 0; i < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			n.Content = slices.Delete(n.Content, i, i+2)
			return
		}
	}
}

func text(s string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s, Style: yaml.DoubleQuotedStyle}
}

func tagged(tag, s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: s} }

func number(n int) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.Itoa(n)}
}

func sequence(items ...*yaml.Node) *yaml.Node {
	return &yaml.Node{Kind: yaml.SequenceNode, Content: items}
}

// mapping takes keys and values in turn.
func mapping(pairs ...any) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode}
	for i := 0; i < len(pairs); i += 2 {
		n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: pairs[i].(string)}, pairs[i+1].(*yaml.Node))
	}
	return n
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
