package aws

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	rdstypes "github.com/aws/aws-sdk-go-v2/service/rds/types"

	"github.com/kitamae/kitamae/fault"
)

// Database is the source as RDS knows it.
type Database struct {
	VPC           string
	SecurityGroup string // the first of its own; tasks are let in there
	ResourceID    string // what rds-db:connect names
	Note          string // worth saying before the first run
	OnlyWriter    bool   // the host leads to an Aurora cluster's writer
}

// Network is where tasks run.
type Network struct {
	VPC           string
	Subnets       []string
	PublicAddress bool // the way out is a public address; else a NAT gateway that is there already
}

// database finds host among the account's clusters and instances. It returns nil where RDS does not know it.
func (c *Cloud) database(ctx context.Context, host string) (*Database, error) {
	clusters := rds.NewDescribeDBClustersPaginator(c.rds, &rds.DescribeDBClustersInput{})
	for clusters.HasMorePages() {
		page, err := clusters.NextPage(ctx)
		if err != nil {
			return nil, c.fault("look for the database", err)
		}
		for _, cl := range page.DBClusters {
			if sameHost(host, cl.Endpoint) || sameHost(host, cl.ReaderEndpoint) || slices.ContainsFunc(cl.CustomEndpoints, func(e string) bool { return sameHost(host, &e) }) {
				d := &Database{ResourceID: aws.ToString(cl.DbClusterResourceId), SecurityGroup: firstGroup(cl.VpcSecurityGroups)}
				if len(cl.DBClusterMembers) < 2 {
					d.OnlyWriter = strings.HasPrefix(aws.ToString(cl.Engine), "aurora")
					d.Note = "the cluster has only a writer: reads meet the application's own database, at most limits.connections at a time"
				} else if sameHost(host, cl.Endpoint) {
					d.OnlyWriter = strings.HasPrefix(aws.ToString(cl.Engine), "aurora")
					d.Note = "this is the writer; the cluster's reader is " + aws.ToString(cl.ReaderEndpoint)
				}
				var err error
				d.VPC, err = c.subnetGroup(ctx, aws.ToString(cl.DBSubnetGroup))
				return d, err
			}
		}
	}
	instances := rds.NewDescribeDBInstancesPaginator(c.rds, &rds.DescribeDBInstancesInput{})
	for instances.HasMorePages() {
		page, err := instances.NextPage(ctx)
		if err != nil {
			return nil, c.fault("look for the database", err)
		}
		for _, i := range page.DBInstances {
			if i.Endpoint != nil && sameHost(host, i.Endpoint.Address) {
				d := &Database{ResourceID: aws.ToString(i.DbiResourceId), SecurityGroup: firstGroup(i.VpcSecurityGroups)}
				if i.DBSubnetGroup != nil {
					d.VPC = aws.ToString(i.DBSubnetGroup.VpcId)
				}
				return d, nil
			}
		}
	}
	return nil, nil
}

func sameHost(host string, endpoint *string) bool {
	return endpoint != nil && *endpoint != "" && strings.EqualFold(host, *endpoint)
}

func firstGroup(groups []rdstypes.VpcSecurityGroupMembership) string {
	if len(groups) == 0 {
		return ""
	}
	return aws.ToString(groups[0].VpcSecurityGroupId)
}

// subnetGroup is the VPC of a cluster, which only its group of subnets knows.
func (c *Cloud) subnetGroup(ctx context.Context, name string) (vpc string, err error) {
	if name == "" {
		return "", nil
	}
	out, err := c.rds.DescribeDBSubnetGroups(ctx, &rds.DescribeDBSubnetGroupsInput{DBSubnetGroupName: &name})
	if err != nil {
		return "", c.fault("look at the database's subnets", err)
	}
	if len(out.DBSubnetGroups) == 0 {
		return "", nil
	}
	return aws.ToString(out.DBSubnetGroups[0].VpcId), nil
}

// network picks subnets of vpc with a way out: those behind a NAT gateway where there is one, as it is paid for already, else
// public ones, where the task gets an address of its own. Each availability zone gives one, so that a full zone is no failure.
func (c *Cloud) network(ctx context.Context, vpc string) (Network, error) {
	filter := []ec2types.Filter{{Name: aws.String("vpc-id"), Values: []string{vpc}}}
	subnets, err := c.ec2.DescribeSubnets(ctx, &ec2.DescribeSubnetsInput{Filters: filter})
	if err != nil {
		return Network{}, c.fault("look at the subnets", err)
	}
	tables, err := c.ec2.DescribeRouteTables(ctx, &ec2.DescribeRouteTablesInput{Filters: filter})
	if err != nil {
		return Network{}, c.fault("look at the routes", err)
	}
	byWay := map[way]map[string]string{private: {}, public: {}}
	for _, s := range subnets.Subnets {
		if w := wayOut(tables.RouteTables, aws.ToString(s.SubnetId)); w != none {
			zone, id := aws.ToString(s.AvailabilityZone), aws.ToString(s.SubnetId)
			if before, ok := byWay[w][zone]; !ok || id < before {
				byWay[w][zone] = id
			}
		}
	}
	n := Network{VPC: vpc}
	chosen := byWay[private]
	if len(chosen) == 0 {
		chosen, n.PublicAddress = byWay[public], true
	}
	for _, id := range chosen {
		n.Subnets = append(n.Subnets, id)
	}
	slices.Sort(n.Subnets)
	if len(n.Subnets) == 0 {
		return n, fault.New(fault.Config, "deploy.no_way_out", "give one subnet a default route to an internet gateway (free) or a NAT gateway (about 45 USD a month)",
			"none of the %d subnets of %s has a way out to the cloud's services and the warehouse", len(subnets.Subnets), vpc)
	}
	return n, nil
}

// way is how a subnet reaches the world.
type way int

const (
	none way = iota
	public
	private
)

// wayOut follows a subnet's default route: its own table's, or the main one's where it has none.
func wayOut(tables []ec2types.RouteTable, subnet string) way {
	var table *ec2types.RouteTable
	for i, t := range tables {
		for _, a := range t.Associations {
			if aws.ToString(a.SubnetId) == subnet {
				table = &tables[i]
			} else if aws.ToBool(a.Main) && table == nil {
				table = &tables[i]
			}
		}
	}
	if table == nil {
		return none
	}
	for _, r := range table.Routes {
		if aws.ToString(r.DestinationCidrBlock) != "0.0.0.0/0" || r.State == ec2types.RouteStateBlackhole {
			continue
		}
		switch {
		case strings.HasPrefix(aws.ToString(r.GatewayId), "igw-"):
			return public
		case r.NatGatewayId != nil, r.TransitGatewayId != nil, r.NetworkInterfaceId != nil, r.InstanceId != nil:
			return private
		}
	}
	return none
}

// defaultVPC is where tasks run whose source is not in RDS and whose config names no VPC.
func (c *Cloud) defaultVPC(ctx context.Context) (string, error) {
	out, err := c.ec2.DescribeVpcs(ctx, &ec2.DescribeVpcsInput{Filters: []ec2types.Filter{{Name: aws.String("is-default"), Values: []string{"true"}}}})
	if err != nil {
		return "", c.fault("look for the default VPC", err)
	}
	if len(out.Vpcs) == 0 {
		return "", fault.New(fault.Config, "deploy.vpc", "name it: deploy: {vpc: vpc-…}", "the source's host is no database of RDS here, and there is no default VPC")
	}
	return aws.ToString(out.Vpcs[0].VpcId), nil
}

func (n Network) String() string {
	how := "through the NAT gateway that is there"
	if n.PublicAddress {
		how = "by a public address, nothing comes in"
	}
	return fmt.Sprintf("%s, %s, out %s", n.VPC, strings.Join(n.Subnets, " "), how)
}
